"""Builds one tree from spans; its notes say what was missing or wrong in them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from triton_traces.spans import Span, TraceError

MAX_DEPTH = 100
REQUEST = "request"
"""Name of the root that is added where a trace has several."""


class Kind(Enum):
    QUEUE = "queue"
    COMPUTE = "compute"
    OTHER = "other"


@dataclass(frozen=True)
class Node:
    """A span inside its parent's time; `error` is the class of its error, empty without one."""

    path: tuple[str, ...]
    """The names of its ancestors from the root, and its own."""
    start_ns: int
    end_ns: int
    kind: Kind = Kind.OTHER
    error: str = ""
    children: tuple[Node, ...] = ()

    @property
    def name(self) -> str:
        return self.path[-1]

    @property
    def label(self) -> str:
        """Its parent's name and its own: many steps are called `queue`."""
        return " › ".join(self.path[-2:])

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns

    @property
    def self_ns(self) -> int:
        """Time in which none of its children ran."""
        covered_ns, own_ns = self.start_ns, 0
        for child in self.children:
            own_ns += max(0, child.start_ns - covered_ns)
            covered_ns = max(covered_ns, child.end_ns)
        return own_ns + self.end_ns - covered_ns

    def walk(self, depth: int = 0) -> Iterator[tuple[Node, int]]:
        """This node and all below it in order of time, each with its depth."""
        yield self, depth
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True)
class Tree:
    """One request: its ids, its spans as a tree, and notes on what had to be corrected."""

    root: Node
    trace_ids: tuple[str, ...]
    request_id: str
    notes: tuple[str, ...]


def make_tree(spans: Sequence[Span]) -> Tree:
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
        above = (REQUEST,) if len(self._roots) > 1 else ()
        ends = [self._end_ns(span) for span in self._roots]
        nodes = [
            self._node(span, span.start_ns, end_ns, above)
            for span, end_ns in zip(self._roots, ends, strict=True)
        ]
        if not above:
            return nodes[0]
        return Node(above, nodes[0].start_ns, max(ends), children=tuple(nodes))

    def _node(self, span: Span, start_ns: int, end_ns: int, above: tuple[str, ...]) -> Node:
        if len(above) >= MAX_DEPTH:
            raise TraceError(f"the trace has more than {MAX_DEPTH} spans inside each other")
        self._placed += 1
        path, below = (*above, span.name), self._below(span)
        inner = [self._child(child, start_ns, end_ns, path) for child in below]
        inner.extend(_scheduler_queue(span, below, start_ns, end_ns, path))
        children = tuple(sorted(inner, key=lambda node: (node.start_ns, -node.end_ns)))
        return Node(path, start_ns, end_ns, _kind(span), _error(span), children)

    def _child(self, span: Span, start_ns: int, end_ns: int, above: tuple[str, ...]) -> Node:
        own_start, own_end = span.start_ns, self._end_ns(span)
        first = min(max(own_start, start_ns), end_ns)
        last = max(min(own_end, end_ns), first)
        if outside_ns := max(first - own_start, own_end - last):
            self._clipped.append(f"{span.name} by {outside_ns / 1e6:.3g} ms")
        return self._node(span, first, last, above)

    def _end_ns(self, span: Span, depth: int = 0) -> int:
        """The end of a span, for Triton's own spans the end of all inside them.

        Triton ends its span of a streaming model when the model has accepted the request, long
        before the work inside it is done.
        """
        own = max(span.start_ns, span.end_ns or self._last_ns)
        if depth > MAX_DEPTH or not _is_from_triton(span):
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
            shown = ", ".join(self._clipped[:3])
            yield f"outside their parent (clock skew or a wrong parent), cut to it: {shown}{more}"
        if count := sum(not span.end_ns for span in self._spans):
            yield f"{count} without an end: shown to the end of the trace"


def _is_from_triton(span: Span) -> bool:
    """Whether Triton's own tracing mode made the span, not one of our models."""
    return not span.events.keys().isdisjoint(("REQUEST_START", "INFER_RESPONSE_COMPLETE"))


def _scheduler_queue(
    span: Span, below: list[Span], start_ns: int, end_ns: int, above: tuple[str, ...]
) -> Iterator[Node]:
    """The time in Triton's scheduler, for which Triton has events but no span."""
    begin = span.events.get("QUEUE_START")
    starts = [child.events["COMPUTE_START"] for child in below if "COMPUTE_START" in child.events]
    if begin is not None and starts:
        first, last = max(begin, start_ns), min(*starts, end_ns)
        if last > first:
            yield Node((*above, "queue"), first, last, Kind.QUEUE)


def _kind(span: Span) -> Kind:
    kind = span.attributes.get("rag.kind", "")
    if kind in ("queue", "compute"):
        return Kind(kind)
    return Kind.COMPUTE if "COMPUTE_START" in span.events else Kind.OTHER


def _error(span: Span) -> str:
    if not span.has_failed:
        return ""
    return span.attributes.get("error.type", "") or "error without a class"
