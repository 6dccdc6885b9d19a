"""`tokenizer` and `pair_tokenizer` over a real tokenizer."""

import numpy as np
import pytest

from ensembles.manifest import TOKENIZER_FILE, ManifestError, Prefixes
from python_backends.errors import RequestError
from python_backends.stages.pair_tokenizer import PairTokenizerStage, ReaderTokenizerStage
from python_backends.stages.tokenizer import TokenizerStage
from tests.fakes import folders
from tests.fakes.serving import context, tensors

CLS, SEP, A, B = 2, 3, 4, 5

LIMITS = {"max_texts": 9, "max_question_tokens": 5}


@pytest.fixture
def folder(tmp_path):
    return folders.make_folder(tmp_path / "cpu", folders.word_level(["a", "b"]), max_tokens=32)


def test_texts_become_padded_rows(folder):
    answer = TokenizerStage(context(folder, **LIMITS)).answer(tensors(input_text=["a b", "b"]))
    assert answer["input_ids"].tolist() == [[CLS, A, B, SEP], [CLS, B, SEP, 0]]
    assert answer["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert answer["input_ids"].dtype == answer["attention_mask"].dtype == np.int64


def test_a_long_text_is_truncated_at_the_encoders_limit(folder):
    answer = TokenizerStage(context(folder, **LIMITS)).answer(tensors(input_text="a " * 100))
    assert answer["input_ids"].tolist() == [[CLS, *[A] * 30, SEP]]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["a", " \n"], "input_text[1]: empty"),
        ([b"a", b"a\xff"], "input_text[1]: not valid UTF-8 at byte 1 of 2"),
        (np.empty(0, object), "input_text: none given"),
    ],
)
def test_missing_and_blank_texts_are_refused(folder, value, says):
    with pytest.raises(RequestError) as caught:
        TokenizerStage(context(folder, **LIMITS)).answer(tensors(input_text=value))
    assert str(caught.value).startswith(says)


def test_an_invalid_request_fails_alone(folder):
    stage = TokenizerStage(context(folder, **LIMITS))
    good, bad, also_good = stage.run([tensors(input_text=t) for t in ("a", "", "b")])
    assert isinstance(bad, RequestError)
    assert good["input_ids"].tolist() == [[CLS, A, SEP]]
    assert also_good["input_ids"].tolist() == [[CLS, B, SEP]]


def test_pairs_have_segments(folder):
    answer = PairTokenizerStage(context(folder, max_passages=99)).answer(
        tensors(query="a", passages=["b b", "b"])
    )
    assert answer["input_ids"].tolist() == [[CLS, A, SEP, B, B, SEP], [CLS, A, SEP, B, SEP, 0]]
    assert answer["token_type_ids"].tolist() == [[0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 1, 0]]
    assert answer["attention_mask"].tolist() == [[1] * 6, [1, 1, 1, 1, 1, 0]]


def test_a_long_pair_loses_the_end_of_its_passage(folder):
    query = "a " * 13
    answer = PairTokenizerStage(context(folder, max_passages=99)).answer(
        tensors(query=query, passages="b " * 99)
    )
    assert answer["input_ids"].tolist() == [[CLS, *[A] * 13, SEP, *[B] * 16, SEP]]


@pytest.mark.parametrize("words", [14, 33, 100])
def test_a_query_that_leaves_no_room_for_a_passage_is_refused(folder, words):
    with pytest.raises(RequestError) as caught:
        PairTokenizerStage(context(folder, max_passages=99)).answer(
            tensors(query="a " * words, passages="b")
        )
    assert str(caught.value).startswith(f"query: {words} tokens; at most 13 leave room")


def test_the_reader_gets_the_beginning_of_a_long_query(tmp_path):
    path = folders.make_folder(tmp_path / "cpu", folders.word_level(["a", "b"]), max_tokens=320)
    stage = ReaderTokenizerStage(context(path, max_passages=99))
    answer = stage.answer(tensors(query="a " * 99, passages=["b", "b b"]))
    assert answer["input_ids"].tolist() == [
        [CLS, *[A] * 64, SEP, B, SEP, 0],
        [CLS, *[A] * 64, SEP, B, B, SEP],
    ]
    assert stage.answer(tensors(query="a", passages="b"))["input_ids"].tolist() == [
        [CLS, A, SEP, B, SEP]
    ]


def test_a_small_reader_gets_less_of_a_long_query(folder):
    stage = ReaderTokenizerStage(context(folder, max_passages=99))
    answer = stage.answer(tensors(query="a " * 99, passages="b"))
    assert answer["input_ids"].tolist() == [[CLS, *[A] * 7, SEP, B, SEP]]


def test_one_query_and_some_passages_are_needed(folder):
    stage = PairTokenizerStage(context(folder, max_passages=99))
    for values, says in (
        ({"query": ["a", "b"], "passages": "b"}, "query: one string expected, 2 given"),
        ({"query": " ", "passages": "b"}, "query[0]: empty"),
        ({"query": "a", "passages": ["b", ""]}, "passages[1]: empty"),
    ):
        with pytest.raises(RequestError) as caught:
            stage.answer(tensors(**values))
        assert str(caught.value).startswith(says)


def test_a_tokenizer_that_changed_since_the_build_does_not_load(folder):
    folders.word_level(["a", "b", "c"]).save(str(folder / TOKENIZER_FILE))
    with pytest.raises(ManifestError, match="has changed since the build"):
        TokenizerStage(context(folder, **LIMITS))


@pytest.mark.parametrize(
    ("kind", "ids"),
    [
        ({}, [CLS, B, SEP]),
        ({"input_type": "text"}, [CLS, B, SEP]),
        ({"input_type": "query"}, [CLS, A, B, SEP]),
        ({"input_type": "passage"}, [CLS, A, A, B, SEP]),
    ],
)
def test_a_text_gets_the_prefix_of_what_it_is(tmp_path, kind, ids):
    prefixes = Prefixes(query="a ", passage="a a ")
    path = folders.make_folder(
        tmp_path / "cpu", folders.word_level(["a", "b"]), max_tokens=32, prefixes=prefixes
    )
    answer = TokenizerStage(context(path, **LIMITS)).answer(tensors(input_text=["b"], **kind))
    assert answer["input_ids"].tolist() == [ids]


def test_an_unknown_input_type_is_refused_with_those_that_exist(folder):
    with pytest.raises(RequestError, match="input_type: 'document' given; possible are query, "):
        TokenizerStage(context(folder, **LIMITS)).answer(
            tensors(input_text=["b"], input_type="document")
        )


@pytest.mark.parametrize("long", ["a " * 40, "a" * 200_000])
def test_a_long_text_is_refused_where_none_may_be_cut(folder, long):
    stage = TokenizerStage(context(folder, **LIMITS))
    kept = stage.answer(tensors(input_text=["a", "b"], truncate="none"))
    assert len(kept["input_ids"]) == 2
    with pytest.raises(RequestError, match=r"input_text\[1\]: more than \d+ tokens"):
        stage.answer(tensors(input_text=["a", long], truncate="none"))
    with pytest.raises(RequestError, match="truncate: 'start' given; possible are end, none"):
        stage.answer(tensors(input_text=["a"], truncate="start"))


def test_only_the_beginning_of_a_long_text_is_tokenized(folder):
    stage = TokenizerStage(context(folder, **LIMITS))
    long = stage.answer(tensors(input_text="a " * 2_000_000))
    assert (
        long["input_ids"].tolist()
        == stage.answer(tensors(input_text="a " * 100))["input_ids"].tolist()
    )


def test_a_query_is_refused_by_its_length_before_it_is_tokenized(folder):
    with pytest.raises(RequestError, match="query: 4,000,000 characters; at most 928 are possible"):
        PairTokenizerStage(context(folder, max_passages=99)).answer(
            tensors(query="a " * 2_000_000, passages="b")
        )


@pytest.mark.parametrize(
    ("stage", "inputs", "says"),
    [
        (TokenizerStage, {"input_text": ["a"] * 4}, "input_text: 4 texts; at most 3 are possible"),
        (
            PairTokenizerStage,
            {"query": "a", "passages": ["b"] * 4},
            "passages: 4 given; at most 3 are possible",
        ),
    ],
)
def test_more_rows_than_the_encoder_takes_are_refused_by_the_callers_name(
    folder, stage, inputs, says
):
    with pytest.raises(RequestError) as caught:
        stage(context(folder, **LIMITS | {"max_texts": 3}, max_passages=3)).answer(
            tensors(**inputs)
        )
    assert str(caught.value) == says
