"""Results as lines to read and as JSON to process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from triton_rag.cli.documents import Collection
from triton_rag.results import Answer, Completion, ModelStatistics, Source
from triton_rag.terminal import printable

EXCERPT_CHARACTERS = 100
_STREAMED = ("llm", "rag", "rag_cancellable", "ensemble")


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


def stage_lines(
    before: Mapping[str, ModelStatistics],
    after: Mapping[str, ModelStatistics],
    first_s: float,
    seconds: float,
) -> str:
    """What each stage did between two looks at the server's statistics, one line each.

    Times of other clients' requests are in there too; the LLM's are by our clock, because Triton
    does not time streams.
    """
    lines = [f"{'stage':18}{'runs':>5}{'rows':>6}{'queue ms':>10}{'compute ms':>12}"]
    for name, now in sorted(after.items()):
        spent = now - before.get(name, ModelStatistics())
        if spent.executions and spent.compute_ns and name not in _STREAMED:
            times = f"{spent.queue_ns / 1e6:>10.1f}{spent.compute_ns / 1e6:>12.1f}"
            lines.append(f"{name:18}{spent.executions:>5}{spent.inferences:>6}{times}")
    lines.append(f"first token after {first_s * 1e3:.0f} ms, last after {seconds * 1e3:.0f} ms")
    return "\n".join(lines)


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
