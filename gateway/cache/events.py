"""Cached answers as JSON: a shared store is not trusted, so nothing in it may run."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from gateway.call import LAST, Event

_ENTRY = TypeAdapter(
    tuple[Literal[3], str, list[Event]],
    config=ConfigDict(
        extra="forbid", strict=True, ser_json_bytes="base64", val_json_bytes="base64"
    ),
)
"""An entry: the number of this format (raise it when events change), the version of the model that
made the answer, and its events in order."""


class UnreadableEntry(Exception):
    """Bytes that no version of the gateway wrote."""


def pack(events: Sequence[Event], version: str) -> bytes:
    return _ENTRY.dump_json((3, version, list(events)))


def unpack(entry: bytes) -> tuple[list[Event], str]:
    """What `pack` was given; raises UnreadableEntry."""
    try:
        _, version, events = _ENTRY.validate_json(entry)
    except ValidationError as error:
        raise UnreadableEntry(f"{error.error_count()} faults in a kept answer") from None
    if not version.isprintable():  # it becomes a header
        raise UnreadableEntry("a version that is none in a kept answer")
    return events, version


def as_cached(event: Event) -> Event:
    """The event with all tokens of its input as cached in its usage: none was computed again."""
    if isinstance(event, LAST):
        usage = replace(event.usage, cached_tokens=event.usage.input_tokens)
        return replace(event, usage=usage)
    return event
