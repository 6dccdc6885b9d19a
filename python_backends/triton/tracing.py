"""OpenTelemetry traces: one span a request and model, and one for each part of its time.

On when the server's environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT or
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); the SDK is not even imported otherwise. Its other standard
variables work too: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_BSP_*, … Spans are exported by a
thread of the SDK over HTTP (protobuf) from a bounded queue: a collector that is slow or down costs
spans, no request waits for it. Spans are made on a thread of ours, save for their ids, which those
who are called need: making one takes longer than the engine's thread of `llm` has.

Never in a span: text of prompts, documents, answers or error messages.
"""

import contextlib
import json
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from python_backends.stage import Attribute
from python_backends.triton.bls import TRACEPARENT

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

SERVICE = "triton-rag"
"""`service.name` unless the environment names another."""

MAX_NOTES = 20_000
"""Steps in the making of spans that wait for their thread; beyond it spans are incomplete."""

CLOSE_S = 3.0
"""How long the last export may take before the process ends without it."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

logger = logging.getLogger("python_backends.triton.tracing")


class Span(Protocol):
    """A stretch of a request's time; times are `time.perf_counter`."""

    traceparent: str | None
    """For those who are called within it; None when nothing is traced."""

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """A stretch within this one that is over."""

    def call(self, model: str, start_s: float) -> "Span":
        """A call to another model, which begins."""

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""

    def end(self, outcome: str, end_s: float) -> None:
        """It is over; any outcome but ok is an error."""


class Tracer(Protocol):
    """Makes the spans of one model."""

    def start(self, request: Any, arrival_s: float) -> Span:
        """The span of a request of Triton."""

    def close(self) -> None:
        """Export what is left, within `CLOSE_S`."""


class NoSpan:
    """Nothing is traced."""

    traceparent: str | None = None

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """Forget it."""

    def call(self, model: str, start_s: float) -> Span:
        """Nothing again."""
        return self

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Forget it."""

    def end(self, outcome: str, end_s: float) -> None:
        """Forget it."""


class NoTracer:
    """Tracing is off."""

    _span = NoSpan()

    def start(self, request: Any, arrival_s: float) -> Span:
        """Nothing."""
        return self._span

    def close(self) -> None:
        """Nothing to export."""


def make_tracer(model: str, version: str, is_leaf: bool) -> Tracer:
    """As the environment asks for; a fault in its settings is logged and means no traces.

    `is_leaf` models spend their requests' time themselves.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return NoTracer()
    try:
        return SdkTracer(_provider(), model, version, is_leaf)
    except Exception:
        logger.exception("no traces: OpenTelemetry's SDK could not be set up")
        return NoTracer()


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    is_named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get(
        "OTEL_RESOURCE_ATTRIBUTES", ""
    )
    resource = Resource.create({} if is_named else {"service.name": SERVICE})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def parent_of(request: Any) -> str | None:
    """The traceparent that a request's span belongs under, if one was given.

    Triton's own span (`--trace-config mode=opentelemetry`) comes first, unless it belongs to
    another trace than the client's: Triton 2.51 takes the traceparent of gRPC from a header only,
    and one in twenty of those not (docs/traces.md).
    """
    sent = _valid(_sent(request))
    own = _valid(_tritons(request))
    if own and (sent is None or own.group(1) == sent.group(1)):
        return own.group()
    return sent.group() if sent else None


def _sent(request: Any) -> object:
    """From the parameters: sent as one, or a header that the server forwards as it was spelt."""
    parameters = json.loads(request.parameters() or "{}")
    return next((v for name, v in parameters.items() if name.lower() == TRACEPARENT), None)


def _tritons(request: Any) -> object:
    context = request.trace().get_context()
    return json.loads(context).get(TRACEPARENT) if context else None


def _valid(traceparent: object) -> re.Match[str] | None:
    return _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None


class SdkTracer:
    """Spans by OpenTelemetry's SDK."""

    def __init__(self, provider: "TracerProvider", model: str, version: str, is_leaf: bool) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("triton_rag")
        self._model = model
        self._attributes: dict[str, Attribute] = {
            "triton.model.name": model,
            "triton.model.version": version,
        }
        if is_leaf:
            self._attributes["rag.kind"] = "compute"
        self._notes: queue.Queue[Callable[[], object] | None] = queue.Queue(MAX_NOTES)
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def start(self, request: Any, arrival_s: float) -> Span:
        """Under the caller's span; what fails here is logged and not traced."""
        try:
            return self._start(request, arrival_s)
        except Exception:
            logger.exception("a request is not traced")
            return NoSpan()

    def _start(self, request: Any, arrival_s: float) -> Span:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = parent_of(request)
        context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent} if parent else {})
        offset_ns = time.time_ns() - time.perf_counter_ns()
        span = self._tracer.start_span(
            self._model,
            context=context,
            start_time=offset_ns + _ns(arrival_s),
            attributes=self._attributes | {"triton.request.id": request.request_id()},
        )
        return SdkSpan(self, span, offset_ns)

    def child(
        self, name: str, context: "Context", start_ns: int, attributes: Mapping[str, str]
    ) -> "OtelSpan":
        """A span within another."""
        return self._tracer.start_span(name, context, start_time=start_ns, attributes=attributes)

    def later(self, act: Callable[[], object]) -> None:
        """Do it on the thread that makes spans, in order."""
        with contextlib.suppress(queue.Full):
            self._notes.put_nowait(act)

    def close(self) -> None:
        """Export what is left; the SDK would wait for a collector that is down."""
        last = threading.Thread(target=self._finish, name="last-export", daemon=True)
        last.start()
        last.join(CLOSE_S)

    def _finish(self) -> None:
        self._notes.put(None)
        self._thread.join()
        self._provider.shutdown()

    def _work(self) -> None:
        while act := self._notes.get():
            try:
                act()
            except Exception:
                logger.exception("a span could not be kept")


class SdkSpan:
    """A span of the SDK, its times converted from `time.perf_counter`."""

    def __init__(self, tracer: SdkTracer, span: "OtelSpan", offset_ns: int) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer, self._span, self._offset_ns = tracer, span, offset_ns
        self._context = set_span_in_context(span)
        found = span.get_span_context()
        self.traceparent: str | None = (
            f"00-{found.trace_id:032x}-{found.span_id:016x}-{found.trace_flags:02x}"
        )

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """A leaf: either waiting or at work."""
        self._tracer.later(lambda: self._part(name, start_s, end_s))

    def call(self, model: str, start_s: float) -> Span:
        """What is called continues the trace below it."""
        told = {"triton.model.name": model}
        span = self._tracer.child(f"call {model}", self._context, self._ns(start_s), told)
        return SdkSpan(self._tracer, span, self._offset_ns)

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes."""
        told = dict(attributes)
        self._tracer.later(lambda: self._span.set_attributes(told))

    def end(self, outcome: str, end_s: float) -> None:
        """The class of an error is told, not its message: that may quote the request."""
        self._tracer.later(lambda: self._end(outcome, end_s))

    def _part(self, name: str, start_s: float, end_s: float) -> None:
        told = {"rag.kind": "queue" if name == "queue" else "compute"}
        span = self._tracer.child(name, self._context, self._ns(start_s), told)
        span.end(self._ns(end_s))

    def _end(self, outcome: str, end_s: float) -> None:
        from opentelemetry.trace import Status, StatusCode

        if outcome != "ok":
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", outcome)
        self._span.end(self._ns(end_s))

    def _ns(self, seconds: float) -> int:
        """Since 1970."""
        return self._offset_ns + _ns(seconds)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
