"""Cached answers as JSON: a shared store is not trusted, so nothing in it may run."""

from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import orjson

from gateway.call import (
    CallPiece,
    Embedded,
    Event,
    Finished,
    Quote,
    Ranked,
    Source,
    Sources,
    Text,
    Usage,
)

FORMAT = 2
"""Goes up with every change of what events have; entries of other formats are misses."""


class UnreadableEntry(Exception):
    """Bytes that no version of ours wrote."""


def pack(events: Sequence[Event], version: str) -> bytes:
    """The events of one answer in their order, and the version of the model that made it."""
    packed = [[type(event).__name__, _fields(event)] for event in events]
    return orjson.dumps([FORMAT, version, packed])


def unpack(entry: bytes) -> tuple[list[Event], str]:
    """What `pack` was given; raises UnreadableEntry."""
    try:
        written, version, packed = orjson.loads(entry)
        if written != FORMAT:
            raise UnreadableEntry(f"format {written}, not {FORMAT}")
        if not version.isprintable():  # it becomes a header
            raise UnreadableEntry("a version that is none in a kept answer")
        return [_EVENTS[name](values) for name, values in packed], version
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise UnreadableEntry(f"{type(error).__name__} in a kept answer") from error


def as_cached(event: Event) -> Event:
    """The event with a usage that says: no token of the input was computed again."""
    if isinstance(event, Finished | Embedded | Ranked):
        usage = replace(event.usage, cached_tokens=event.usage.input_tokens)
        return replace(event, usage=usage)
    return event


def _fields(event: Event) -> dict[str, Any]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    if isinstance(event, Embedded):
        values["rows"] = [b64encode(row).decode() for row in event.rows]
    return values


def _finished(values: dict[str, Any]) -> Finished:
    values["usage"] = Usage(**values["usage"])
    values["citations"] = tuple(values["citations"])
    values["quotes"] = tuple(Quote(**quote) for quote in values["quotes"])
    return Finished(**values)


def _embedded(values: dict[str, Any]) -> Embedded:
    rows = tuple(b64decode(row, validate=True) for row in values["rows"])
    return Embedded(rows, Usage(**values["usage"]))


_EVENTS: dict[str, Any] = {
    "Sources": lambda values: Sources(tuple(Source(**each) for each in values["sources"])),
    "Text": lambda values: Text(**values),
    "CallPiece": lambda values: CallPiece(**values),
    "Finished": _finished,
    "Embedded": _embedded,
    "Ranked": lambda values: Ranked(tuple(values["logits"]), Usage(**values["usage"])),
}
