"""The newest traces in memory, bounded in traces and in spans."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status, TracesData

MAX_TRACES = 1_000
MAX_SPANS = 50_000
MAX_SPANS_OF_A_TRACE = 5_000
"""So that one trace that never ends does not push out all others."""

REQUEST_ID = ("triton.request.id", "triton.request_id")
"""Attributes with the request's id: of our models, of Triton's own tracing mode."""


@dataclass(frozen=True)
class KeptSpan:
    """A span, and the resource and scope that it came from, as bytes of OTLP.

    Copies: a part of an export would hold all of it in memory.
    """

    resource: bytes
    scope: bytes
    span: Span


@dataclass(frozen=True)
class TraceSummary:
    """One trace in a list; `request_id` is empty where no span tells one."""

    trace_id: str
    request_id: str
    name: str
    start_unix_ns: int
    duration_ms: float
    status: str
    spans: int


@dataclass
class _Trace:
    spans: list[KeptSpan] = field(default_factory=list)
    request_ids: set[str] = field(default_factory=set)


class TraceStore:
    """Spans by trace; the trace that was added to least recently goes first. Thread-safe."""

    def __init__(
        self,
        max_traces: int = MAX_TRACES,
        max_spans: int = MAX_SPANS,
        max_spans_of_a_trace: int = MAX_SPANS_OF_A_TRACE,
    ) -> None:
        self._max_traces, self._max_spans = max_traces, max_spans
        self._max_spans_of_a_trace = min(max_spans_of_a_trace, max_spans)
        self._traces: OrderedDict[str, _Trace] = OrderedDict()
        self._span_count = 0
        self._lock = threading.Lock()

    def add(self, data: TracesData) -> int:
        """Keep the spans; how many were refused because their trace is full."""
        with self._lock:
            refused = sum(not self._keep(span) for span in _spans(data))
            while len(self._traces) > self._max_traces or self._span_count > self._max_spans:
                _, oldest = self._traces.popitem(last=False)
                self._span_count -= len(oldest.spans)
        return refused

    def find(self, wanted: str) -> TracesData | None:
        """Every trace with this trace id or request id, in one document; None: there is none."""
        with self._lock:
            kept = [
                span
                for trace_id, trace in self._traces.items()
                if trace_id == wanted.lower() or wanted in trace.request_ids
                for span in trace.spans
            ]
        return _document(kept) if kept else None

    def summaries(self) -> list[TraceSummary]:
        """Every trace, the newest first."""
        with self._lock:
            found = [_summary(trace_id, trace) for trace_id, trace in self._traces.items()]
        return sorted(found, key=lambda summary: -summary.start_unix_ns)

    def _keep(self, kept: KeptSpan) -> bool:
        trace_id = kept.span.trace_id.hex()
        trace = self._traces.setdefault(trace_id, _Trace())
        self._traces.move_to_end(trace_id)
        if len(trace.spans) >= self._max_spans_of_a_trace:
            return False
        trace.spans.append(kept)
        self._span_count += 1
        if request_id := _request_id(kept.span):
            trace.request_ids.add(request_id)
        return True


def _spans(data: TracesData) -> Iterator[KeptSpan]:
    for resource in data.resource_spans:
        sender = resource.resource.SerializeToString()
        for scope in resource.scope_spans:
            part = scope.scope.SerializeToString()
            for span in scope.spans:
                own = Span()
                own.CopyFrom(span)
                yield KeptSpan(sender, part, own)


def _document(kept: list[KeptSpan]) -> TracesData:
    """The spans, one group for each sender."""
    data, groups = TracesData(), {}
    for each in kept:
        sender = each.resource, each.scope
        if sender not in groups:
            resource = data.resource_spans.add()
            resource.resource.ParseFromString(each.resource)
            groups[sender] = resource.scope_spans.add()
            groups[sender].scope.ParseFromString(each.scope)
        groups[sender].spans.append(each.span)
    return data


def _summary(trace_id: str, trace: _Trace) -> TraceSummary:
    spans = [kept.span for kept in trace.spans]
    ids = {span.span_id for span in spans}
    roots = [span for span in spans if span.parent_span_id not in ids] or spans
    first = min(roots, key=lambda span: span.start_time_unix_nano)
    end = max(max(span.end_time_unix_nano, span.start_time_unix_nano) for span in spans)
    has_failed = any(span.status.code == Status.STATUS_CODE_ERROR for span in spans)
    return TraceSummary(
        trace_id=trace_id,
        request_id=_request_id(first) or min(trace.request_ids, default=""),
        name=first.name,
        start_unix_ns=first.start_time_unix_nano,
        duration_ms=(end - first.start_time_unix_nano) / 1e6,
        status="error" if has_failed else "ok",
        spans=len(spans),
    )


def _request_id(span: Span) -> str:
    found = (each.value.string_value for each in span.attributes if each.key in REQUEST_ID)
    return next(found, "")
