"""`passage_splitter`, `passage_selector`, `source_ranker`, `reader_ranker`."""

import functools
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_backends.errors import RequestError
from python_backends.headings import outline
from python_backends.sentences import sentence_spans
from python_backends.stages.passage_selector import PassageSelectorStage, cosines, joined
from python_backends.stages.passage_splitter import PassageSplitterStage, split
from python_backends.stages.reader_ranker import ReaderRankerStage
from python_backends.stages.source_ranker import SourceRankerStage
from tests.fakes import folders
from tests.fakes.serving import context, strings, tensors


def words(text: str) -> list[tuple[int, int]]:
    """Offsets of words and single marks, as a tokenizer gives them."""
    return [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]


TEXT = st.text(st.sampled_from("ab .!?。\n é"), max_size=80)


@given(text=TEXT, max_tokens=st.integers(1, 7))
@settings(max_examples=150, deadline=None)
def test_passages_are_consecutive_and_lose_only_whitespace(text, max_tokens):
    spans = list(split(words(text), sentence_spans(text), max_tokens))
    assert all(start < end for start, end in spans)
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    assert all(len(words(text[start:end])) <= max_tokens for start, end in spans)
    kept = "".join("".join(text[start:end].split()) for start, end in spans)
    assert kept == "".join(text.split())


@given(text=st.text(st.sampled_from("ab é😀你"), max_size=30), max_tokens=st.integers(4, 9))
@settings(max_examples=60, deadline=None)
def test_characters_of_several_tokens_are_not_repeated(text, max_tokens):
    offsets = folders.byte_level(["a"], vocab_size=260).encode(text).offsets
    spans = list(split(offsets, sentence_spans(text), max_tokens))
    assert "".join(text[start:end] for start, end in spans) == text


@pytest.mark.parametrize(
    ("text", "max_tokens", "passages"),
    [
        ("one two three", 3, ["one two three"]),
        ("one two. Three four. Five six.", 7, ["one two. Three four.", "Five six."]),
        ("one two three four five", 3, ["one two three", "four five"]),
        ("v1.2 is out. Get it", 7, ["v1.2 is out.", "Get it"]),
        ("山は高い。川は長い。", 3, ["山は高い。", "川は長い。"]),
        ("the title\nbody goes on", 4, ["the title", "body goes on"]),
        ("title\nbody goes on here", 4, ["title\nbody goes on", "here"]),  # one word is no passage
        ("Is it? Yes! It is so.", 6, ["Is it? Yes!", "It is so."]),
    ],
)
def test_cuts_come_after_sentences(text, max_tokens, passages):
    spans = split(words(text), sentence_spans(text), max_tokens)
    assert [text[start:end] for start, end in spans] == passages


@pytest.fixture
def splitter(tmp_path):
    path = folders.make_folder(tmp_path / "cpu", folders.word_level(["a", "b", "."]))
    return PassageSplitterStage(
        context(path, max_question_tokens=9, max_passage_tokens=4, max_passages=3)
    )


def test_documents_become_passages_with_their_documents(splitter):
    answer = splitter.answer(tensors(question="q", documents=["a b a. b a", "  b  "]))
    assert answer["passages"] == ["a b a.", "b a", "b"]
    assert answer["passage_document"].tolist() == [0, 0, 1]
    assert answer["passage_document"].dtype == np.int32


def test_several_passages_of_a_document_stand_below_its_title_and_headings(splitter):
    answer = splitter.answer(tensors(question="q", documents="# b\n\na b a. b a b."))
    assert answer["passages"] == ["# b", "a b a.", "b a b."]
    assert answer["passages_in_context"] == ["b\n# b", "b\na b a.", "b\nb a b."]
    short = splitter.answer(tensors(question="q", documents="# b\n\na"))
    assert short["passages_in_context"] == ["# b\n\na"]  # has its headings already


@pytest.mark.parametrize(
    ("text", "above"),
    [
        ("Text.", "Text."),
        ("A\nText.", "A"),
        (".. a:\n\n=====\nA\n=====\n\nText.", "A"),
        ("long " * 30 + "\nText.", ""),
        ("# A\n## B\n## C\nText.", "A > C"),
        ("Text.\n# A\n## B\n# C\nText.", "Text. > C"),
        ("A\n\nB\n===\n\nC\n---\n\nD\n---\n\nText.", "A > B > D"),
        ("A\n\nB\n===\n\nC\n---\n\nD\n===\n\nText.", "A > D"),
        ("A\n\nOne\n\nTwo\n\nText of the second one.", "A > Two"),
        ("A\n\n1. One\n===\n\nText.", "A > 1. One"),
        ("# A\n\nB\n\n# B\n\nB\n\nText.", "A > B"),  # once
        ("# " + "long " * 99 + "\n\nText.", ("long " * 40)[:198]),
    ],
)
def test_a_passage_stands_below_its_headings(text, above):
    assert outline(text, sentence_spans(text)).above(len(text) - 1) == above


@pytest.mark.parametrize(
    ("documents", "says"),
    [
        (["a " * 13], "documents: 1 given, which make 4 passages of up to 4 tokens; at most 3"),
        (["a", ""], "documents[1]: empty"),
        (np.empty(0, object), "documents: none given"),
    ],
)
def test_documents_that_cannot_be_split_are_refused(splitter, documents, says):
    with pytest.raises(RequestError) as caught:
        splitter.answer(tensors(question="q", documents=documents))
    assert str(caught.value).startswith(says)


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_empty_question_is_refused_by_its_own_name(splitter, question):
    with pytest.raises(RequestError, match=r"question\[0\]: empty"):
        splitter.answer(tensors(question=question, documents=["a"]))


def test_documents_without_a_single_token_are_refused(tmp_path):
    """BERT's normalizer drops control characters, which are not whitespace either."""
    path = folders.make_folder(tmp_path / "cpu", folders.word_piece())
    stage = PassageSplitterStage(
        context(path, max_question_tokens=9, max_passage_tokens=4, max_passages=3)
    )
    with pytest.raises(RequestError, match="1 given, none has text"):
        stage.answer(tensors(question="q", documents="\x01\x02"))


def test_blank_passages_of_tokenizers_with_whitespace_tokens_are_left_out(tmp_path):
    path = folders.make_folder(tmp_path / "cpu", folders.byte_level(["a"], vocab_size=258))
    stage = PassageSplitterStage(
        context(path, max_question_tokens=9, max_passage_tokens=4, max_passages=9)
    )
    assert stage.answer(tensors(question="q", documents="a" + " " * 20 + "b"))["passages"] == [
        "a",
        "b",
    ]


def selected(**values):
    inputs = {
        "query_embedding": np.array([[1.0, 0.0]], np.float32),
        "passage_embedding": np.array([[0, 1], [1, 0], [0.6, 0.8], [1, 0]], np.float32),
        "query": strings("?"),
        "passages": strings("p0", "p1", "p2", "p3"),
        "passage_document": np.array([0, 0, 1, 2], np.int32),
    }
    stage = PassageSelectorStage(context_with(num_candidates=3, max_sentences=6))
    return stage.answer(tensors(**(inputs | values)))


def context_with(**parameters):
    return context(Path("nowhere/cpu"), **parameters)


def test_candidates_are_the_most_similar_first_equal_ones_in_order():
    answer = selected()
    assert answer["candidates"] == answer["candidates_in_context"] == ["p1", "p3", "p2"]
    assert answer["candidate_document"].tolist() == [0, 2, 1]
    np.testing.assert_allclose(answer["candidate_similarity"], [1, 1, 0.6])
    assert answer["candidate_similarity"].dtype == np.float32
    assert answer["num_searched"].tolist() == [4]


def test_similarity_and_words_count_the_same():
    passages = strings("Fault E-1042", "Fault", "fault E-1042", "none")
    answer = selected(query=strings("E-1042?"), passages=passages)
    assert answer["candidates"] == ["fault E-1042", "Fault E-1042", "Fault"]
    np.testing.assert_allclose(answer["candidate_words"], [1, 1, 0], rtol=1e-6)


def test_words_above_a_passage_count_as_its_own():
    passages = strings("dose", "dose", "dose", "none")
    contexts = strings("Iron\ndose", "Iron\ndose", "Zinc\ndose", "none")
    answer = selected(
        query=strings("dose of zinc?"),
        passages=passages,
        passages_in_context=contexts,
        passage_embedding=np.ones((4, 2), np.float32),
    )
    assert answer["candidates"] == ["dose"] * 3
    assert answer["candidates_in_context"] == ["Zinc\ndose", "Iron\ndose", "Iron\ndose"]
    assert answer["candidate_document"].tolist() == [1, 0, 0]
    assert answer["candidate_words"][0] == 1 > answer["candidate_words"][1]
    assert list(answer["sentences"]) == ["dose"] * 3


def test_as_many_contexts_as_passages_are_needed():
    with pytest.raises(RequestError, match="passages_in_context: 1 given; as many as passages"):
        selected(passages_in_context=strings("p0"))


def test_one_passage_is_the_candidate_whatever_its_scores():
    answer = selected(
        passage_embedding=np.array([[-1, 0]], np.float32),
        passages=strings("p0"),
        passage_document=np.array([0], np.int32),
    )
    assert answer["candidates"] == ["p0"]
    assert answer["candidate_words"].tolist() == [0]


def test_a_requests_count_wins_and_may_exceed_the_passages():
    assert len(selected(num_candidates=1)["candidates"]) == 1
    assert len(selected(num_candidates=99)["candidates"]) == 4
    with pytest.raises(RequestError, match="num_candidates: 0 given; 1 or more is possible"):
        selected(num_candidates=0)


def test_candidates_are_taken_apart_into_sentences():
    passages = strings("p0", "It is red. It is big!", "-", "One. Two. Three. Four. Five.")
    answer = selected(passages=passages)
    assert [c.encode() for c in answer["candidates"]] == passages[[1, 3, 2]].tolist()
    assert answer["sentences"] == [
        "It is red.",
        "It is big!",
        "One. Two. Three.",
        "Four. Five.",
        "-",
    ]
    assert answer["sentence_candidate"].tolist() == [0, 0, 1, 1, 2]
    assert answer["sentence_candidate"].dtype == np.int32


@pytest.mark.parametrize("most", [1, 2, 3, 9])
def test_sentences_are_joined_where_they_are_too_many(most):
    found = joined(["a", "b", "c", "d", "e"], most)
    assert len(found) <= most
    assert " ".join(found) == "a b c d e"


def test_a_blank_passage_is_refused():
    with pytest.raises(RequestError, match=re.escape("passages[2]: empty; a text is needed")):
        selected(passages=strings("p0", "p1", " \n", "p3"))


@functools.cache
def _ranker():
    """With a reranker that counts half of what similarity or words do."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = folders.make_folder(
            Path(scratch) / "cpu", folders.word_level(["a"]), "reranker", relevance_percent=50
        )
        return SourceRankerStage(context(folder, num_read=2))


def ranked(**values):
    inputs = {
        "candidates": strings("c0", "c1", "c2"),
        "candidates_in_context": strings("0\nc0", "1\nc1", "2\nc2"),
        "candidate_document": np.array([5, 6, 7], np.int32),
        "candidate_similarity": np.array([0.9, 0.9, 0.9], np.float32),
        "candidate_words": np.array([0.5, 0.5, 0.5], np.float32),
        "query_embedding": np.array([[1, 0]], np.float32),
        "sentence_embedding": np.array([[0.5, 0], [0.5, 0], [0.5, 0]], np.float32),
        "sentence_candidate": np.array([0, 1, 2], np.int32),
        "relevance": np.array([[-1.0], [2.5], [2.5]], np.float32),
    }
    return _ranker().answer(tensors(**(inputs | values)))


def test_sources_are_the_most_relevant_first_where_nothing_else_tells():
    answer = ranked()
    assert answer["sources"].tolist() == [b"c1", b"c2", b"c0"]
    assert answer["source_document"].tolist() == [6, 7, 5]
    assert answer["source_relevance"].tolist() == [2.5, 2.5, -1]
    np.testing.assert_allclose(answer["source_similarity"], [0.95, 0.95, 0.95])


def test_the_first_sources_are_read_below_their_headings():
    assert ranked()["read_passages"].tolist() == [b"1\nc1", b"2\nc2"]


@pytest.mark.parametrize("owner", [-1, 3])
def test_a_sentence_of_no_candidate_is_refused(owner):
    with pytest.raises(RequestError, match="sentence_candidate: from 0 to 2 are candidates"):
        ranked(sentence_candidate=np.array([0, 1, owner], np.int32))


def test_relevance_adds_its_share_and_scores_stay_their_own():
    answer = ranked(candidate_words=np.array([0.9, 0.5, 0.3], np.float32))
    wanted = [b"c1", b"c0", b"c2"]  # 0.5 + 0.5, 0.9 + 0, 0.3 + 0.5
    assert answer["sources"].tolist() == wanted
    assert answer["source_relevance"].tolist() == [2.5, -1.0, 2.5]


def test_a_source_is_as_similar_as_its_passage_and_its_best_sentence_in_the_mean():
    answer = ranked(
        candidate_similarity=np.array([0.4, 0.6, 0.6], np.float32),
        candidate_words=np.array([0, 0, 0.5], np.float32),
        relevance=np.zeros((3, 1), np.float32),
        sentence_embedding=np.array([[1, 1], [9, 0], [0, 3], [-2, 0]], np.float32),
        sentence_candidate=np.array([0, 0, 1, 2], np.int32),
    )
    assert answer["sources"].tolist() == [b"c0", b"c1", b"c2"]  # 1, 0.5 / 0.9, 0 + 0.5
    np.testing.assert_allclose(answer["source_similarity"], [0.7, 0.3, -0.2], rtol=1e-5)
    assert answer["source_similarity"].dtype == np.float32


@functools.cache
def _reader_ranker():
    """With a reader whose share is three quarters."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = folders.make_folder(
            Path(scratch) / "cpu", folders.word_level(["a"]), "reader", relevance_percent=75
        )
        return ReaderRankerStage(context(folder, num_sources=3))


def read(relevance, by_reader, **values):
    count = len(relevance)
    inputs = {
        "ranked_sources": strings(*(f"s{n}" for n in range(count))),
        "ranked_source_document": np.arange(count, dtype=np.int32),
        "ranked_source_similarity": np.linspace(0, 1, count, dtype=np.float32),
        "ranked_source_relevance": np.array(relevance, np.float32),
        "read_relevance": np.array(by_reader, np.float32)[:, None],
    }
    return _reader_ranker().answer(tensors(**(inputs | values)))


def test_sources_that_were_read_are_ordered_by_both_and_the_others_follow():
    answer = read([4, 0, 0, 9], [-4, 0, 4])
    assert answer["sources"].tolist() == [b"s2", b"s1", b"s0"]
    assert answer["source_document"].tolist() == [2, 1, 0]
    assert answer["source_relevance"].tolist() == [3, 0, -2]  # 0.75 * 4, 0, 0.75 * -4 + 0.25 * 4
    assert answer["source_relevance"].dtype == np.float32
    more = read([4, 0, 0, 9], [-4, 0, 4], num_sources=9)
    assert more["sources"].tolist() == [b"s2", b"s1", b"s0", b"s3"]
    assert more["source_relevance"].tolist() == [3, 0, -2, 9]


def test_equally_relevant_sources_keep_their_order():
    assert read([1, 1, 1], [1, 1, 1])["sources"].tolist() == [b"s0", b"s1", b"s2"]


def test_fewer_sources_may_be_asked_for_than_are_read():
    assert read([0, 0], [0, 1], num_sources=1)["sources"].tolist() == [b"s1"]
    with pytest.raises(RequestError, match="num_sources: -2 given"):
        read([0, 0], [0, 1], num_sources=-2)


def test_places_go_with_their_sources():
    places = {"ranked_source_id": strings("a#0", "b#0"), "ranked_source_page": np.array([3, 4])}
    answer = read([0, 0], [0, 1], **places)
    assert answer["source_id"].tolist() == [b"b#0", b"a#0"]
    assert answer["source_page"].tolist() == [4, 3]


def test_more_read_than_there_are_sources_is_refused():
    with pytest.raises(RequestError, match="read_relevance: 2 given; at most 1, the number of"):
        read([0], [0, 1])


def test_similarity_is_a_cosine_whatever_the_lengths():
    """Not every embedder normalizes its rows, and one of zeros has no direction."""
    rows = np.array([[3, 0], [0, 5], [-7, 0], [0, 0], [2, 2]], dtype=np.float32)
    found = cosines(rows, np.array([4, 0], dtype=np.float32))
    np.testing.assert_allclose(found, [1, 0, -1, 0, np.sqrt(0.5)], rtol=1e-6)
    assert found.dtype == np.float32


def test_long_runs_without_spaces_count_as_what_an_llm_makes_of_them(tmp_path):
    path = folders.make_folder(tmp_path / "cpu", folders.word_level(["a", "b"]))
    stage = PassageSplitterStage(
        context(path, max_question_tokens=9, max_passage_tokens=16, max_passages=99)
    )
    key = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC" * 20
    passages = stage.answer(tensors(question="a", documents=[f"a b {key} b"]))["passages"]
    assert max(map(len, passages)) <= 16 * 3 + len("a b ")
    assert "".join("".join(passages).split()) == f"ab{key}b", "nothing is lost"


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        ({"question": "a " * 10}, "question: 10 tokens; at most 9 are possible"),
        ({"question": "a " * 1000}, "question: 2,000 characters; at most 288 are possible"),
        ({"documents": ["a " * 999, "b"]}, "documents: 1,999 characters; at most 384 are possible"),
    ],
)
def test_what_is_too_long_is_refused_by_its_own_name(splitter, inputs, says):
    with pytest.raises(RequestError) as caught:
        splitter.answer(tensors(**({"question": "a", "documents": ["a"]} | inputs)))
    assert str(caught.value).startswith(says)
