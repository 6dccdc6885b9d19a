"""Cuts: nothing is lost, nothing is too long, and passages end where a reader would end them."""

import hypothesis.strategies as st
import pytest
from hypothesis import given
from triton_rag.collections import Passage
from triton_rag.ingestion.file_text import Blocks, FileText, Section
from triton_rag.ingestion.passages import LONGEST_WORD, find_words, passages

WORDS = st.sampled_from(
    ["ferry", "sails.", "“No!”", "。", "港口開放。", "x" * 70, "\n", "\n\n", " "]
)
TEXTS = st.lists(WORDS, max_size=60).map(" ".join) | st.text(max_size=200)


def tokens(word: str) -> int:
    """Counted as a tokenizer would: by pieces, and spaces are free."""
    return 1 + len(word.strip()) // 6


def cut(document: FileText, max_tokens: int) -> list[Passage]:
    words = find_words(document)
    counts = [tokens(word) for word in words.vocabulary]
    return list(passages(document, words, counts, max_tokens))


@st.composite
def documents(draw: st.DrawFn) -> FileText:
    text = draw(TEXTS)
    starts = draw(st.lists(st.integers(1, max(1, len(text) - 1)), max_size=4, unique=True))
    places = enumerate([0, *sorted(starts)] if len(text) > 1 else [0])
    return FileText(text, tuple(Section(start, (f"h{n // 2}",), n + 1) for n, start in places))


@given(documents(), st.integers(5, 40))
def test_nothing_is_lost_and_nothing_is_too_long(document: FileText, max_tokens: int) -> None:
    found = cut(document, max_tokens)
    end = 0
    for passage in found:
        start, stop = passage.metadata["start"], passage.metadata["end"]
        assert passage.text == document.text[start:stop] == passage.text.strip()
        assert not document.text[end:start].strip()
        assert passage.page in {section.page for section in document.sections}
        end = stop
    assert not document.text[end:].strip()
    assert all(counted(passage.text) <= max_tokens for passage in found)


def counted(text: str) -> int:
    words = find_words(FileText(text))
    return sum(tokens(words.vocabulary[index]) for index in words.index)


def test_a_message_of_a_chat_begins_a_passage() -> None:
    chat = ["10:02 < bo> Who has the key? mine is lost", "10:05 < phil> it is open now. Come"]
    assert [one.text for one in cut(FileText("\n".join(chat)), counted(chat[0]) + 7)] == chat


@given(st.text(alphabet="ab。", min_size=1, max_size=300))
def test_runs_without_spaces_are_cut_too(text: str) -> None:
    words = find_words(FileText(text))
    assert "".join(words.vocabulary[index] for index in words.index) == text
    assert max(map(len, words.vocabulary)) <= LONGEST_WORD


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("one two three four five. six seven eight", "one two three four five."),
        ("one two three four five\nsix seven eight", "one two three four five"),
        ("one two three. four five\n\nsix seven", "one two three. four five"),
        ("one two. three four five six seven eight", "one two. three four five six"),
        ("one. two three four。五 six seven eight nine", "one. two three four。"),
        ("one two three 「four。」 five six seven", "one two three 「four。」"),
        ("एक दो तीन चार पाँच। छह सात आठ", "एक दो तीन चार पाँच।"),
    ],
)
def test_a_passage_ends_at_the_strongest_boundary_in_its_second_half(text: str, first: str) -> None:
    words = find_words(FileText(text))
    counts = [1] * len(words.vocabulary)
    assert next(iter(passages(FileText(text), words, counts, 6))).text == first


def test_sections_are_not_mixed_but_a_bare_heading_goes_with_what_follows() -> None:
    blocks = Blocks()
    blocks.heading(1, "Boat")
    blocks.heading(2, "Hull")
    blocks.paragraph("It is made of oak and larch wood, which lasts long.")
    blocks.heading(2, "Sail")
    blocks.paragraph("It is red.")
    found = cut(blocks.file_text(), 40)
    assert [(tuple(passage.metadata["headings"]), passage.text[:4]) for passage in found] == [
        (("Boat", "Hull"), "Boat"),
        (("Boat", "Sail"), "Sail"),
    ]


def test_a_paragraph_in_the_type_of_headings_is_none() -> None:
    blocks = Blocks()
    blocks.heading(1, "Boat")
    blocks.heading(2, long := "It is made of oak. " * 11)
    found = blocks.file_text()
    assert (found.text, found.sections) == (f"Boat\n\n{long.strip()}", (Section(0, ("Boat",)),))


def test_a_passage_is_on_the_page_that_most_of_it_is_on() -> None:
    text = FileText("Cover\none two three four", (Section(0, (), 1), Section(6, (), 2)))
    (found,) = cut(text, 100)
    assert (found.page, found.metadata["headings"]) == (2, [])
