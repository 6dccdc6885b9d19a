"""Spans made for tests, traces that the real server sent, and what viewers need of events."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triton_traces.spans import Span, read_spans

TRACES = Path(__file__).parent / "traces"
TRACE = "0af7651916cd43dd8448eb211c80319c"
MS = 1_000_000
START = 1_795_240_565 * 10**9


def span(
    name: str, start_ms: float, end_ms: float, parent: str = "", *, id_: str = "", **more: Any
) -> Span:
    start, end = START + int(start_ms * MS), START + int(end_ms * MS)
    kind: Mapping[str, str] = more.pop("attributes", {"rag.kind": more.pop("kind", "")})
    return Span(TRACE, id_ or name, parent, name, start, end, attributes=kind, **more)


def otlp(*spans: Mapping[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]})


def raw(name: str = "llm", **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "name": name,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + MS),
        **more,
    }


def real(name: str) -> list[Span]:
    return read_spans((TRACES / name).read_text())


FAILED = [
    span("rag", 0, 100, attributes={"triton.request.id": "mine"}),
    span("queue", 0, 25, "rag", kind="queue"),
    span("llm", 50, 100, "rag", has_failed=True, attributes={"error.type": "cancelled"}),
]


def assert_nested(events: list[dict[str, Any]]) -> None:
    """On each thread every event is inside another or beside it: viewers need that."""
    for thread in {event["tid"] for event in events}:
        open_ends: list[float] = []
        own = [event for event in events if event["tid"] == thread and event["ph"] == "X"]
        for event in sorted(own, key=lambda event: (event["ts"], -event["dur"])):
            while open_ends and open_ends[-1] <= event["ts"]:
                open_ends.pop()
            end = event["ts"] + event["dur"]
            assert not open_ends or end <= open_ends[-1] + 1e-9
            open_ends.append(end)
