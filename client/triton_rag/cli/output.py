"""Prints results: progress, lines or tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unicodedata import category

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from triton_rag.results import Completion

EXCERPT_CHARACTERS = 100


def printable(text: str) -> str:
    """The text without control characters: documents and models must not steer a terminal."""
    return "".join(char for char in text if char in "\n\t" or category(char) not in ("Cc", "Cs"))


def one_line(text: str) -> str:
    return " ".join(printable(text).split())


def note(text: str) -> None:
    click.echo(printable(text), err=True)


def print_json(value: Any) -> None:
    """JSON for people and programs, with all control characters escaped."""
    shown = json.dumps(value, ensure_ascii=False, indent=2)
    escaped = re.sub(r"[\x7f-\x9f\ud800-\udfff]", lambda char: f"\\u{ord(char[0]):04x}", shown)
    click.echo(escaped)


@contextmanager
def progress(what: str) -> Iterator[Progress]:
    """Shows a line with `what` until the block ends or calls `stop`; only on a terminal."""
    columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
    disable = not sys.stderr.isatty()  # rich also asks FORCE_COLOR, which CI systems set
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=disable) as shown:
        shown.add_task(printable(what), total=None)
        yield shown


def excerpt(text: str) -> str:
    line = one_line(text)
    if len(line) <= EXCERPT_CHARACTERS:
        return line
    return line[: EXCERPT_CHARACTERS - 1].rstrip() + "…"


def token_line(completion: Completion, seconds: float) -> str:
    rate = completion.num_output_tokens / seconds if seconds else 0.0
    ending = " (cut at max_tokens)" if completion.finish_reason == "length" else ""
    return (
        f"{completion.num_input_tokens:,} tokens read, {completion.num_output_tokens:,} written"
        f"{ending} in {seconds:.1f} s ({rate:.1f} a second)"
    )
