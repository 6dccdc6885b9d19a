"""Spans to one tree, with what is missing or wrong in them said in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from triton_traces.spans import Span, TraceError

MAX_DEPTH = 100
REQUEST = "request"
"""Name of the root that is made up where a trace has several."""


class Kind(Enum):
    """What a step without steps inside does."""

    QUEUE = "queue"
    COMPUTE = "compute"
    UNTOLD = "untold"


@dataclass(frozen=True)
class Node:
    """A span in its place: inside its parent's time; `error` is its class, empty without one."""

    name: str
    start_ns: int
    end_ns: int
    kind: Kind = Kind.UNTOLD
    error: str = ""
    is_unfinished: bool = False
    children: tuple[Node, ...] = ()

    @property
    def duration_ns(self) -> int:
        """From its start to its end."""
        return self.end_ns - self.start_ns

    def walk(self, depth: int = 0) -> Iterator[tuple[Node, int]]:
        """This node and all below it in order of time, each with its depth."""
        yield self, depth
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True)
class Tree:
    """One request: its ids, its spans as a tree, and notes on what had to be mended."""

    root: Node
    trace_ids: tuple[str, ...]
    request_id: str
    notes: tuple[str, ...]


def make_tree(spans: Sequence[Span]) -> Tree:
    """The tree of spans of one request; raises `TraceError` without any."""
    if not spans:
        raise TraceError("the trace has no spans")
    return _Builder(spans).tree()


class _Builder:
    def __init__(self, spans: Sequence[Span]) -> None:
        latest = {(s.trace_id, s.span_id): s for s in sorted(spans, key=lambda s: s.end_ns)}
        self._spans = sorted(latest.values(), key=lambda s: (s.start_ns, -s.end_ns))
        self._last_ns = max(max(s.start_ns, s.end_ns) for s in self._spans)
        self._children: dict[tuple[str, str], list[Span]] = {}
        self._roots: list[Span] = []
        for span in self._spans:
            parent = (span.trace_id, span.parent_id)
            known = parent in latest and parent != (span.trace_id, span.span_id)
            (self._children.setdefault(parent, []) if known else self._roots).append(span)
        self._clipped: list[str] = []
        self._placed = 0

    def tree(self) -> Tree:
        if not self._roots:
            raise TraceError("the trace has no beginning: every span is another's child")
        root = self._root()
        ids = dict.fromkeys(span.trace_id for span in self._spans)
        request_id = next((span.request_id for span in self._spans if span.request_id), "")
        return Tree(root, tuple(ids), request_id, tuple(self._notes()))

    def _root(self) -> Node:
        ends = [self._end_ns(span) for span in self._roots]
        nodes = [
            self._node(span, span.start_ns, end_ns, 1)
            for span, end_ns in zip(self._roots, ends, strict=True)
        ]
        if len(nodes) == 1:
            return nodes[0]
        return Node(REQUEST, nodes[0].start_ns, max(ends), children=tuple(nodes))

    def _node(self, span: Span, start_ns: int, end_ns: int, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise TraceError(f"the trace has more than {MAX_DEPTH} spans inside each other")
        self._placed += 1
        inner = [self._child(child, start_ns, end_ns, depth) for child in self._below(span)]
        inner.extend(_waiting(span, self._below(span), start_ns, end_ns))
        return Node(
            span.name,
            start_ns,
            end_ns,
            _kind(span),
            _error(span),
            not span.end_ns,
            tuple(sorted(inner, key=lambda node: (node.start_ns, -node.end_ns))),
        )

    def _child(self, span: Span, start_ns: int, end_ns: int, depth: int) -> Node:
        own_start, own_end = span.start_ns, self._end_ns(span)
        first = min(max(own_start, start_ns), end_ns)
        last = max(min(own_end, end_ns), first)
        if outside_ns := max(first - own_start, own_end - last):
            self._clipped.append(f"{span.name} by {outside_ns / 1e6:.3g} ms")
        return self._node(span, first, last, depth + 1)

    def _end_ns(self, span: Span, depth: int = 0) -> int:
        """When it is over. Triton ends its own span of a streaming model when the model has taken
        the request up, long before the work inside it is done."""
        own = max(span.start_ns, span.end_ns or self._last_ns)
        if depth > MAX_DEPTH or not _is_tritons(span):
            return own
        return max([own, *(self._end_ns(child, depth + 1) for child in self._below(span))])

    def _below(self, span: Span) -> list[Span]:
        return self._children.get((span.trace_id, span.span_id), [])

    def _notes(self) -> Iterator[str]:
        if len(self._roots) > 1:
            yield f"{len(self._roots)} spans have no parent here: '{REQUEST}' was put around them"
        if lost := len(self._spans) - self._placed:
            yield f"{lost} spans left out: they are their own ancestors"
        if self._clipped:
            more = f" and {len(self._clipped) - 3} more" if len(self._clipped) > 3 else ""
            yield (
                "outside of its parent, clock skew or a wrong parent; cut to it: "
                f"{', '.join(self._clipped[:3])}{more}"
            )
        if count := sum(not span.end_ns for span in self._spans):
            yield f"{count} without an end: drawn to the end of the trace"


def _is_tritons(span: Span) -> bool:
    """Whether Triton's own tracing mode made it, not one of our models."""
    return any(event.name in ("REQUEST_START", "INFER_RESPONSE_COMPLETE") for event in span.events)


def _waiting(span: Span, below: list[Span], start_ns: int, end_ns: int) -> Iterator[Node]:
    """The time in Triton's scheduler, of which its spans tell only the moments."""
    begin = span.event_ns("QUEUE_START")
    starts = [time for child in below if (time := child.event_ns("COMPUTE_START")) is not None]
    if begin is not None and starts:
        first, last = max(begin, start_ns), min(*starts, end_ns)
        if last > first:
            yield Node("queue", first, last, Kind.QUEUE)


def _kind(span: Span) -> Kind:
    told = span.attributes.get("rag.kind", "")
    if told in ("queue", "compute"):
        return Kind(told)
    return Kind.COMPUTE if span.event_ns("COMPUTE_START") is not None else Kind.UNTOLD


def _error(span: Span) -> str:
    if not span.has_failed:
        return ""
    return span.attributes.get("error.type", "") or "error of no class"
