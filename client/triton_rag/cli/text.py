"""Results as lines to read and as JSON to process."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any
from unicodedata import category

from triton_rag.cli.documents import Collection
from triton_rag.results import Answer, Completion, Source

EXCERPT_CHARACTERS = 100


def printable(text: str) -> str:
    """The text without control characters: documents and models must not steer a terminal."""
    return "".join(char for char in text if char in "\n\t" or category(char) != "Cc")


def excerpt(text: str) -> str:
    """The beginning of the text on one line."""
    line = " ".join(printable(text).split())
    if len(line) <= EXCERPT_CHARACTERS:
        return line
    return line[: EXCERPT_CHARACTERS - 1].rstrip() + "…"


def source_lines(
    sources: Sequence[Source], collection: Collection, citations: Sequence[int] = ()
) -> str:
    """Numbered sources with both scores, file name and beginning; `*` marks the cited ones."""
    lines = []
    for number, source in enumerate(sources, start=1):
        mark = "*" if number in citations else " "
        name = printable(collection.documents[source.document].name)
        scores = f"relevance {source.relevance:.2f}, similarity {source.similarity:.2f}"
        lines.append(f"{mark}[{number}] {name}  ({scores})\n      {excerpt(source.text)}")
    return "\n".join(lines)


def token_line(completion: Completion, seconds: float) -> str:
    """What it took, on one line."""
    rate = completion.num_output_tokens / seconds if seconds else 0.0
    ending = " (cut at max_tokens)" if completion.finish_reason == "length" else ""
    return (
        f"{completion.num_input_tokens:,} tokens read, {completion.num_output_tokens:,} written"
        f"{ending} in {seconds:.1f} s ({rate:.1f} a second)"
    )


def source_objects(
    sources: Sequence[Source], collection: Collection, citations: Sequence[int] = ()
) -> list[dict[str, Any]]:
    """Sources for JSON: their fields with number, file and whether they are cited."""
    return [
        {
            "number": number,
            "file": collection.documents[source.document].name,
            "cited": number in citations,
            **asdict(source),
        }
        for number, source in enumerate(sources, start=1)
    ]


def answer_object(answer: Answer, collection: Collection, seconds: float) -> dict[str, Any]:
    """An answer for JSON."""
    sources = source_objects(answer.sources, collection, answer.citations)
    return {**asdict(answer), "sources": sources, "seconds": round(seconds, 3)}


def to_json(value: Any) -> str:
    """JSON as people read it."""
    return json.dumps(value, ensure_ascii=False, indent=2)
