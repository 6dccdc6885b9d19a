"""Prints sources and quotes, with the place where a person can find them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from triton_rag.cli.output import EXCERPT_INDENT, excerpt, one_line
from triton_rag.evaluation.text import share_of_words
from triton_rag.ingestion.file_text import MESSAGE
from triton_rag.ingestion.page_names import page_name
from triton_rag.results import Answer, Source

Place = Callable[[Source], str]
"""A function that names a source's place: a file, or a title with its page and headings."""

_END = re.compile(r"[.!?؟۔।॥։።။។](?=\s)|[。！？][”’」』）]?|\n")
_FULL = 0.85
"""Least share of the width that a wrapped line has."""
_BEGINS_ANEW = re.compile(rf"\s*(?:\n|[-*+•#>|]\s|\d+[.)]\s|$|{MESSAGE})")
"""The beginning of a line that continues no other: an item, message, heading, row, or a blank."""
_NUMBER = re.compile(r"(?:^|\n)[ \t]*\d{1,3}\.\Z")
"""An item's number, which belongs to the text after it."""


def collection_place(source: Source) -> str:
    """Title, page and headings of a source from a collection, and the file."""
    name = page_name(source.metadata.get("metadata", {}).get("type", ""))
    page = f", {name} {source.page}" if source.page else ""
    headings = source.metadata["passage"].get("headings", [])
    path = " › ".join([source.title + page, *(h for h in headings if h != source.title)])
    return f"{path} ({source.metadata['document']})"


def source_lines(
    sources: Sequence[Source], place: Place, citations: Sequence[int] = (), question: str = ""
) -> str:
    """Two lines per source; `*` marks the cited ones."""
    lines = []
    for number, source in enumerate(sources, start=1):
        mark = "*" if number in citations else " "
        name = one_line(place(source))
        scores = f"relevance {source.relevance:.2f}, similarity {source.similarity:.2f}"
        text = excerpt(best_part(source.text, question))
        lines.append(f"{mark}[{number}] {name}  ({scores})\n{' ' * EXCERPT_INDENT}{text}")
    return "\n".join(lines)


def best_part(text: str, question: str) -> str:
    """The passage from the sentence that has most of the question's words: with it a person finds
    the place in the document."""
    starts = _sentence_starts(text)
    ends = [*starts[1:], len(text)]
    spans = zip(starts, ends, strict=True)
    shares = [(share_of_words(text[start:end], question), end - start) for start, end in spans]
    share, length = max(shares)
    return text[starts[shares.index((share, length))] :] if share else text


def _sentence_starts(text: str) -> list[int]:
    """Where sentences begin. A sentence ends with its line unless the line was wrapped: several
    lines are about as long, and the next word had no room in this one."""
    lengths = sorted(map(len, text.split("\n")), reverse=True)
    is_wrapped = sum(length > _FULL * lengths[0] for length in lengths) > 1
    width = lengths[0] if is_wrapped else len(text)
    ends = [0]
    for end in _END.finditer(text):
        after = end.end()
        if _NUMBER.search(text, 0, after):
            continue
        if end[0] == "\n" and not _BEGINS_ANEW.match(text, after):
            line = len(text[: end.start()].rpartition("\n")[2])
            if line + 1 + len(text[after:].split(None, 1)[0]) > width:
                continue
        ends.append(after)
    starts = (len(text) - len(text[end:].lstrip()) for end in ends)
    return sorted({start for start in starts if start < len(text)} or {0})


def print_quotes(answer: Answer, place: Place) -> None:
    """The sentences that support an answer, each with its place; not those in its text."""
    told = one_line(answer.text)
    for number, text in dict.fromkeys((q.source, one_line(q.quote)) for q in answer.quotes):
        if text not in told:
            click.echo(f'  [{number}] {one_line(place(answer.sources[number - 1]))}: "{text}"')


def source_objects(
    sources: Sequence[Source], place: Place, citations: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Sources for JSON: their fields with number, file and whether they are cited."""
    return [
        {"number": number, "file": place(source), "cited": number in citations, **asdict(source)}
        for number, source in enumerate(sources, start=1)
    ]


def answer_object(answer: Answer, place: Place, seconds: float) -> dict[str, Any]:
    sources = source_objects(answer.sources, place, answer.citations)
    return {**asdict(answer), "sources": sources, "seconds": round(seconds, 3)}
