"""Parses OTLP JSON, as exporters and collectors write it, into spans."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

_ERROR_STATUS = (2, "STATUS_CODE_ERROR")


class TraceError(Exception):
    """A trace can't be read; the message says what was found and what is needed."""


class NoSuchTrace(TraceError):
    """The document has no trace of the wanted request."""


@dataclass(frozen=True)
class Span:
    """One span of a trace; times are Unix nanoseconds, `end_ns` is 0 where it never ended."""

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    start_ns: int
    end_ns: int
    has_failed: bool = False
    attributes: Mapping[str, str] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    """Moments such as Triton's QUEUE_START, Unix nanoseconds."""

    @property
    def request_id(self) -> str:
        """The id that our models or Triton's own tracing mode give; empty without one."""
        names = ("triton.request.id", "triton.request_id")
        return next((self.attributes[name] for name in names if name in self.attributes), "")


def read_spans(text: str) -> list[Span]:
    """Every span of an OTLP JSON document, or of several, one a line; raises `TraceError`."""
    found: list[Span] = []
    for place, document in _documents(text):
        if not isinstance(document, dict) or "resourceSpans" not in document:
            shown = ", ".join(document)[:60] if isinstance(document, dict) else repr(document)[:60]
            raise TraceError(
                f"{place}no OTLP: 'resourceSpans' is needed, found {shown or 'nothing'}"
            )
        try:
            found.extend(map(_span, _raw_spans(document)))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TraceError(f"{place}no OTLP: a span can't be read ({error!r:.100})") from error
    return found


def _documents(text: str) -> Iterator[tuple[str, Any]]:
    try:
        yield "", json.loads(text)
        return
    except (json.JSONDecodeError, RecursionError) as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) < 2:
            raise TraceError(f"no JSON: {str(error)[:100] if text.strip() else 'empty'}") from error
    for number, line in lines:
        try:
            yield f"line {number}: ", json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            if (number, line) == lines[-1] and not text.endswith("\n"):
                return  # a collector is writing it at this moment
            raise TraceError(f"line {number}: no JSON: {str(error)[:100]}") from error


def _raw_spans(document: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for resource in document["resourceSpans"]:
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())


def _span(raw: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=str(raw["traceId"]).lower(),
        span_id=str(raw["spanId"]).lower(),
        parent_id=str(raw.get("parentSpanId") or "").lower(),
        name=str(raw.get("name") or "?"),
        start_ns=int(raw["startTimeUnixNano"]),
        end_ns=int(raw.get("endTimeUnixNano") or 0),
        has_failed=raw.get("status", {}).get("code") in _ERROR_STATUS,
        attributes={each["key"]: _value(each["value"]) for each in raw.get("attributes", ())},
        events={
            str(each.get("name")): int(each.get("timeUnixNano") or 0)
            for each in reversed(raw.get("events", ()))
        },
    )


def _value(raw: Mapping[str, Any]) -> str:
    """A value of any type as text: `{"intValue": "3"}` is "3"."""
    return str(next(iter(raw.values()), ""))
