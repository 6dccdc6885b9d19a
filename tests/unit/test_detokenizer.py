"""Token ids to text, and stop words: the text does not depend on the grouping."""

import itertools
from collections.abc import Iterator, Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from python_backends.generation.detokenizer import REPLACEMENT, IncrementalDetokenizer, StopWords
from tests.fakes import folders

TOKENIZERS = {
    "byte-level": folders.byte_level(),
    # Few merges over CJK text: tokens that end one character and begin the next.
    "byte-level CJK": folders.byte_level(["你好吗我很好谢谢你们大家都好"] * 9, vocab_size=300),
    "sentence-piece": folders.sentence_piece(),
    "word-piece": folders.word_piece(),
}

TEXTS = st.one_of(
    st.text(st.sampled_from(" abthe你好é世界😀🎉\n\t\u0301\u200d.'")),
    st.text(),
    st.sampled_from(
        ["  leading", "\n\n", "👨\u200d👩\u200d👧", "e\u0301", "你好吗谢谢大家", " ", "don't ."]
    ),
)

every_tokenizer = pytest.mark.parametrize("name", TOKENIZERS)
often = settings(max_examples=50, deadline=None)


@st.composite
def groups(draw: st.DrawFn, ids: Sequence[int]) -> list[list[int]]:
    """The ids cut up somehow, as engines deliver them."""
    cuts = sorted(draw(st.sets(st.integers(1, max(1, len(ids) - 1)), max_size=6)))
    edges = [0, *cuts, len(ids)]
    return [list(ids[a:b]) for a, b in itertools.pairwise(edges)]


def pieces(tokenizer: Tokenizer, grouped: Sequence[Sequence[int]]) -> list[str]:
    detokenizer = IncrementalDetokenizer(tokenizer.decode, tokenizer.get_vocab_size())
    return [*(detokenizer.push(group) for group in grouped), detokenizer.flush()]


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False).ids
    return ids


@every_tokenizer
@given(data=st.data(), text=TEXTS)
@often
def test_ids_of_a_text_in_any_groups_give_the_text(name, data, text):
    tokenizer = TOKENIZERS[name]
    ids = ids_of(tokenizer, text)
    whole = tokenizer.decode(ids)
    found = pieces(tokenizer, data.draw(groups(ids)))
    if REPLACEMENT not in whole:
        assert "".join(found) == whole
    if REPLACEMENT not in text and "[UNK]" not in whole:
        assert not any(REPLACEMENT in piece for piece in found)


@every_tokenizer
@given(data=st.data())
@settings(max_examples=80, deadline=None)
def test_any_ids_in_any_groups_give_what_they_decode_to(name, data):
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, tokenizer.get_vocab_size() - 1), max_size=12))
    whole = tokenizer.decode(ids)
    found = "".join(pieces(tokenizer, data.draw(groups(ids))))
    one_by_one = "".join(pieces(tokenizer, [[i] for i in ids]))
    if REPLACEMENT not in whole:
        assert found == one_by_one == whole
    elif name != "sentence-piece":  # ByteFallback: one U+FFFD a byte of the run it looks at
        assert found == one_by_one
    assert found.replace(REPLACEMENT, "") == one_by_one.replace(REPLACEMENT, "")


def test_an_unfinished_character_is_held_until_it_is_whole():
    tokenizer = TOKENIZERS["byte-level"]
    ids = [tokenizer.token_to_id(c) for c in "ðŁĺĢ"]  # the four bytes of 😀
    assert pieces(tokenizer, [[i] for i in ids]) == ["", "", "", "😀", ""]


def test_an_unfinished_character_is_given_at_the_end():
    tokenizer = TOKENIZERS["byte-level"]
    half = [tokenizer.token_to_id(c) for c in "ðŁ"]
    assert pieces(tokenizer, [half]) == ["", REPLACEMENT]


def test_invalid_bytes_do_not_delay_the_text():
    tokenizer = TOKENIZERS["byte-level"]
    broken = [tokenizer.token_to_id("ÿ")] * 10
    detokenizer = IncrementalDetokenizer(tokenizer.decode, tokenizer.get_vocab_size())
    assert "".join(detokenizer.push([i]) for i in broken).count(REPLACEMENT) >= 6


def test_a_character_after_invalid_bytes_is_not_lost():
    tokenizer = TOKENIZERS["byte-level"]
    ids = [tokenizer.token_to_id(c) for c in "ÿÿÿä½ł"]  # three broken bytes, then those of 你
    assert "".join(pieces(tokenizer, [[i] for i in ids])) == 3 * REPLACEMENT + "你"


def test_special_tokens_within_a_text_keep_the_space_after_them():
    tokenizer = TOKENIZERS["sentence-piece"]
    ids = [*ids_of(tokenizer, "a"), 1, *ids_of(tokenizer, "the")]
    assert "".join(pieces(tokenizer, [[i] for i in ids])) == tokenizer.decode(ids) == "a the"


def test_text_without_any_clean_cut_is_still_given():
    """Five tokens, each the end of a character and the start of the next."""
    characters = "你好吗我很"
    parts = [
        b"\xe4",
        *(c.encode()[1:] + d.encode()[:1] for c, d in itertools.pairwise(characters)),
    ]
    parts.append(characters[-1].encode()[1:])
    found = IncrementalDetokenizer(
        lambda ids: b"".join(parts[i] for i in ids).decode(errors="replace"), len(parts)
    )
    shown = [found.push([i]) for i in range(len(parts))]
    assert shown == ["", "你", "好", "吗", "我", "很"]


def test_ids_beyond_the_vocabulary_and_its_padding_are_an_error():
    """The tokenizer drops both."""
    tokenizer = TOKENIZERS["byte-level"]
    size = tokenizer.get_vocab_size()
    detokenizer = IncrementalDetokenizer(tokenizer.decode, size)
    assert detokenizer.push([size + size // 20]) == ""
    with pytest.raises(ValueError, match=r"token id 10000000; the vocabulary ends before"):
        detokenizer.push([10**7])


# --- stop words --------------------------------------------------------------------------------

WORDS = st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=4)


def expected_cut(text: str, words: Sequence[str]) -> str:
    """Read letter by letter: the first word that is complete ends the text before itself."""
    for end in range(1, len(text) + 1):
        complete = [w for w in words if text[:end].endswith(w)]
        if complete:
            return text[: end - len(max(complete, key=len))]
    return text


def cut_up(text: str, size: int) -> Iterator[str]:
    return (text[i : i + size] for i in range(0, len(text), size))


@given(text=st.text("abc", max_size=20), words=WORDS, size=st.integers(1, 20))
@example(text="ab</s", words=["</s>", "s"], size=2)
@settings(max_examples=150, deadline=None)
def test_text_ends_before_the_first_complete_stop_word_in_any_grouping(text, words, size):
    stop = StopWords(words)
    shown = [stop.push(piece) for piece in cut_up(text, size)]
    assert "".join([*shown, stop.flush()]) == expected_cut(text, words)
    assert stop.found == any(word in text for word in words)


@given(text=st.text("abc", max_size=20), words=WORDS, size=st.integers(1, 4))
@settings(max_examples=80, deadline=None)
def test_text_that_was_given_is_a_prefix_of_the_result(text, words, size):
    stop = StopWords(words)
    shown = ""
    for piece in cut_up(text, size):
        shown += stop.push(piece)
        assert expected_cut(text, words).startswith(shown)


def test_a_stop_word_across_chunks():
    stop = StopWords(["</answer>"])
    assert [stop.push(p) for p in ("It is 4 </", "ans", "wer> and more")] == ["It is 4 ", "", ""]
    assert stop.found
    assert stop.push("later") == stop.flush() == ""


def test_stop_words_that_begin_alike():
    stop = StopWords(["###", "##!"])
    assert [stop.push(p) for p in ("a#", "#", "b##", "!")] == ["a", "", "##b", ""]
    assert stop.found


def test_text_held_back_is_given_when_no_stop_word_follows():
    stop = StopWords(["STOP"])
    assert (stop.push("we ST"), stop.flush(), stop.found) == ("we ", "ST", False)


def test_without_stop_words_nothing_is_held():
    assert StopWords([]).push("text") == "text"
    assert not StopWords([])


SPECIAL = {7: "<|im_end|>", 8: "<|im_end|>>", 9: "<s>"}


def test_a_stop_word_can_be_a_special_token_that_decodes_to_no_text():
    stop = StopWords(["<|im_end|>"], SPECIAL)
    shown = [stop.push("It is four."), stop.push(stop.mark(9)), stop.push(stop.mark(7))]
    assert (shown, stop.found) == (["It is four.", "", ""], True)


def test_a_stop_word_can_hold_a_special_token_between_texts():
    stop = StopWords(["bar<|im_end|>\nuser"], SPECIAL)
    assert stop.push("4 bar") == "4 "
    assert stop.push(stop.mark(7)) == ""
    assert stop.push("\nassis") == "bar\nassis", "it was no stop word; the mark is not shown"
    assert stop.push("bar" + stop.mark(7) + "\nuser") == ""
    assert stop.found


def test_a_stop_word_that_is_a_special_token_ends_a_text_that_spells_it_too():
    stop = StopWords(["<|im_end|>"], SPECIAL)
    assert [stop.push(piece) for piece in ("a<|im", "_end|> b")] == ["a", ""]
    assert stop.found


def test_special_tokens_that_no_stop_word_names_have_no_mark():
    assert StopWords(["stop"], SPECIAL).mark(7) == ""
