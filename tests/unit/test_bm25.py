"""BM25, and how its scores are added to others."""

import math
import unicodedata
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from python_backends.stages.bm25 import K1, B, query_terms, word_scores
from python_backends.stages.fusion import best_first, scaled


def expected(query: str, passages: list[str]) -> list[float]:
    """BM25 in plain Python, over words that only letters, digits and spaces make."""
    words = [Counter(passage.casefold().split()) for passage in passages]
    sizes = [counts.total() for counts in words]
    mean = max(1, sum(sizes) / len(sizes))
    scores = [0.0] * len(passages)
    for term in set(query.casefold().split()):
        having = sum(term in counts for counts in words)
        rarity = math.log(1 + (len(passages) - having + 0.5) / (having + 0.5))
        for i, counts in enumerate(words):
            damping = K1 * (1 - B + B * sizes[i] / mean)
            scores[i] += rarity * counts[term] * (K1 + 1) / (counts[term] + damping)
    return scores


TEXT = st.text(st.sampled_from("ab1é ε"), max_size=30)


@given(query=TEXT, passages=st.lists(TEXT, min_size=1, max_size=6))
@settings(max_examples=200, deadline=None)
def test_scores_are_bm25(query, passages):
    found = word_scores(query, passages)
    np.testing.assert_allclose(found, expected(query, passages), rtol=1e-12)


@pytest.mark.parametrize(
    ("query", "terms"),
    [
        ("What is E-1042?", ["1042", "e", "e-1042", "is", "what"]),
        ("call foo_bar(x)", ["bar", "call", "foo", "foo_bar", "x"]),
        ("since 4.2.", ["2", "4", "4.2", "since"]),
        ("STRASSE Straße", ["strass", "strasse"]),
        ("ｆｕｌｌ ① ﬁle", ["1", "file", "full"]),
        ("cafe\u0301 CAFÉ", ["café"]),
        ("ver\u00adsion", ["versio", "version"]),
        ("getUserName", ["getuse", "getusername"]),
        ("हिन्दी में", ["में", "हिन्दी"]),
        ("Привет, МИР", ["мир", "привет"]),
        ("النص العربي", ["العربي", "النص"]),
        ("日本語 版", ["日本", "本語", "版"]),
        ("Windows版の設定", ["window", "windows", "の設", "版の", "設定"]),
        ("ภาษา", ["ภา", "ษา", "าษ"]),
        ("한국어", ["국어", "한국"]),
        ("- ... ?! 😀 ❤\ufe0f", []),
        ("-a- _b_ c. /d", ["a", "b", "c", "d"]),
        ("a a a", ["a"]),
        ("\0\n", []),
    ],
)
def test_words_of_every_script(query, terms):
    assert list(query_terms(query)) == terms


@pytest.mark.parametrize(
    ("query", "right"),
    [
        ("What does E-1042 mean?", "Fault e-1042: the fan stands still."),
        ("who calls foo_bar", "Only main() uses FOO_BAR."),
        ("What came with 4.2?", "In 4.2, sockets are closed."),
        ("東京の天気は", "今日、東京は晴れです。"),
        ("อากาศกรุงเทพ", "วันนี้ที่กรุงเทพฝนตก"),
        ("서울 날씨", "오늘 서울은 맑다."),
        ("погода в МОСКВЕ", "В Москве дождь."),
    ],
)
def test_the_passage_that_has_the_word_is_first(query, right):
    others = ["Fault E-1043, 1042", "foo bar, 42, 2.4", "大阪は雨。", "วันนี้", "부산 비", "?!"]
    for place in (0, 3, len(others)):
        passages = [*others[:place], right, *others[place:]]
        assert np.argmax(word_scores(query, passages)) == place


def test_words_do_not_run_across_passages():
    assert word_scores("foo_bar 東京", ["foo_", "bar", "東", "京"]).tolist() == [
        *word_scores("foo bar", ["foo", "bar", "c", "d"])[:2],
        *(0, 0),
    ]


@pytest.mark.parametrize(
    ("query", "passages"),
    [
        ("?!", ["a", "b"]),
        ("a", ["...", "—"]),
        ("a", ["b"]),
        ("a", ["\u00ad"]),
    ],
)
def test_nothing_in_common_scores_zero(query, passages):
    assert word_scores(query, passages).tolist() == [0] * len(passages)


def test_a_beginning_counts_half_and_a_whole_word_more():
    assert query_terms("compressed files") == {"compre": 0.5, "compressed": 0.5, "files": 1.0}
    assert query_terms("streams of a stream")["stream"] == 1.0
    scores = word_scores("compressed", ["compressed", "compresses", "comprise", "compre"])
    assert scores[0] > scores[1] > scores[2] == 0 < scores[3]
    assert word_scores("E-1042", ["E-10421", "E-1043"]).tolist() == [*word_scores("e", ["e", "e"])]


@given(passages=st.lists(TEXT, min_size=1, max_size=5), query=TEXT)
@settings(max_examples=50, deadline=None)
def test_equal_passages_score_the_same_and_order_does_not_matter(query, passages):
    once = word_scores(query, passages)
    assert word_scores(query, passages[::-1]).tolist() == once[::-1].tolist()
    twice = word_scores(query, passages * 2)
    assert twice[: len(passages)].tolist() == twice[len(passages) :].tolist()


def test_forms_of_the_same_text_score_the_same():
    passages = ["Über den Café-Besuch", "ﬁn"]
    decomposed = [unicodedata.normalize("NFD", passage).upper() for passage in passages]
    scores = word_scores("über café-besuch FIN", passages)
    assert word_scores("u\u0308ber CAFE\u0301-Besuch ﬁn", decomposed).tolist() == scores.tolist()
    assert (scores > 0).all()


def test_scaled_scores_go_from_0_to_1():
    assert scaled(np.array([-2, 0, 2], np.float32)).tolist() == [0, 0.5, 1]
    assert scaled(np.array([3.0])).tolist() == [0]
    assert scaled(np.array([0.1, 0.1], np.float32)).tolist() == [0, 0]


def test_equal_scores_keep_the_order_given():
    assert best_first(np.array([1.0, 2.0, 1.0, 2.0]), 3).tolist() == [1, 3, 0]
