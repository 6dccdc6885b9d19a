"""Prints results: progress, lines or tables for people, JSON for programs."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from shutil import get_terminal_size
from typing import Any
from unicodedata import category

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from triton_rag.results import Completion

EXCERPT_INDENT = 6
_EXCERPT_CHARACTERS = (40, 100)
"""Fewest and most characters of an excerpt; between them it fills a line of the terminal."""


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
    disable = not sys.stderr.isatty()  # rich also obeys FORCE_COLOR, which CI systems set
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=disable) as shown:
        shown.add_task(printable(what), total=None)
        yield shown


def excerpt(text: str) -> str:
    line, (fewest, most) = one_line(text), _EXCERPT_CHARACTERS
    columns = get_terminal_size((EXCERPT_INDENT + most, 0)).columns
    width = min(max(columns - EXCERPT_INDENT, fewest), most)
    return line if len(line) <= width else line[: width - 1].rstrip() + "…"


def token_line(completion: Completion, seconds: float) -> str:
    rate = completion.num_output_tokens / seconds if seconds else 0.0
    ending = " (cut at max_tokens)" if completion.finish_reason == "length" else ""
    return (
        f"{completion.num_input_tokens:,} tokens read, {completion.num_output_tokens:,} written"
        f"{ending} in {seconds:.1f} s ({rate:.1f} a second)"
    )
