"""OpenTelemetry traces: a span per request and model, with a child span per phase and call.

Tracing is on when the server's environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT or
OTEL_EXPORTER_OTLP_TRACES_ENDPOINT); otherwise the SDK is not even imported. The SDK's other
variables work too: OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_BSP_*, …

No request waits for a trace, and no error of a trace reaches a request. The SDK exports over HTTP
(protobuf) from a bounded queue; when the collector is slow or down, spans are lost. Spans are made
on a thread of this module, because making one takes longer than the engine's thread of `llm` can
spare. Only spans whose ids a called model needs are started at once.

A span never holds text of prompts, documents, answers or error messages.
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
from typing import TYPE_CHECKING, Any

from python_backends.stage import Attribute
from python_backends.triton.bls import TRACEPARENT

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span as OtelSpan

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")

SERVICE = "triton-rag"
"""`service.name` unless the environment gives another."""

MAX_PENDING = 20_000
"""Span operations that wait for the tracing thread; further ones are dropped."""

CLOSE_S = 3.0
"""How long the last export may take before the process ends without it."""

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

logger = logging.getLogger(__name__)


def make_tracer(model: str, version: str, is_leaf: bool) -> "Tracer | None":
    """A tracer as the environment asks for; None when it asks for none or the SDK refuses it.

    `is_leaf` says that the model calls no other model: all time of its requests is its own.
    """
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    try:
        return Tracer(_provider(), model, version, is_leaf)
    except Exception:
        logger.exception("no traces: OpenTelemetry's SDK could not be set up")
        return None


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
    """The traceparent of the parent of the request's span, None when there is none.

    Triton's own span (`--trace-config mode=opentelemetry`) comes first, unless it belongs to
    another trace than the one that the client sent: with gRPC, Triton 2.51 reads traceparent from
    a header only, and misses one in twenty (docs/traces.md).
    """
    sent = _valid(_sent(request))
    tritons = _valid(_tritons(request))
    if tritons and (sent is None or tritons.group(1) == sent.group(1)):
        return tritons.group()
    return sent.group() if sent else None


def _sent(request: Any) -> object:
    """The client's traceparent, a request parameter: Triton keeps the spelling of the header."""
    parameters = json.loads(request.parameters() or "{}")
    return next((v for name, v in parameters.items() if name.lower() == TRACEPARENT), None)


def _tritons(request: Any) -> object:
    context = request.trace().get_context()
    return json.loads(context).get(TRACEPARENT) if context else None


def _valid(traceparent: object) -> re.Match[str] | None:
    return _TRACEPARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None


class Tracer:
    def __init__(self, provider: "TracerProvider", model: str, version: str, is_leaf: bool) -> None:
        self._provider = provider
        self.otel = provider.get_tracer("triton_rag")
        self._model = model
        self._attributes: dict[str, Attribute] = {
            "triton.model.name": model,
            "triton.model.version": version,
        }
        if is_leaf:
            self._attributes["rag.kind"] = "compute"
        self._pending: queue.Queue[Callable[[], object] | None] = queue.Queue(MAX_PENDING)
        self._thread = threading.Thread(target=self._work, name="spans", daemon=True)
        self._thread.start()

    def start(self, request: Any, arrival_s: float) -> "Span | None":
        """The span of a request; None, and a line in the log, when it can't be made."""
        try:
            return self._start(request, arrival_s)
        except Exception:
            logger.exception("a request is not traced")
            return None

    def _start(self, request: Any, arrival_s: float) -> "Span":
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        parent = parent_of(request)
        context = TraceContextTextMapPropagator().extract({TRACEPARENT: parent} if parent else {})
        offset_ns = time.time_ns() - time.perf_counter_ns()
        span = self.otel.start_span(
            self._model,
            context=context,
            start_time=offset_ns + _ns(arrival_s),
            attributes=self._attributes | {"triton.request.id": request.request_id()},
        )
        return Span(self, span, offset_ns)

    def later(self, operation: Callable[[], object]) -> None:
        """Run it on the tracing thread, in order."""
        with contextlib.suppress(queue.Full):
            self._pending.put_nowait(operation)

    def close(self) -> None:
        """Export what is left, within `CLOSE_S`; the SDK alone would wait for a dead collector."""
        last = threading.Thread(target=self._finish, name="last-export", daemon=True)
        last.start()
        last.join(CLOSE_S)

    def _finish(self) -> None:
        self._pending.put(None)
        self._thread.join()
        self._provider.shutdown()

    def _work(self) -> None:
        while operation := self._pending.get():
            try:
                operation()
            except Exception:
                logger.exception("a span is incomplete")


class Span:
    """The time of a request, or of its call to another model. Times are `time.perf_counter`."""

    def __init__(self, tracer: Tracer, span: "OtelSpan", offset_ns: int) -> None:
        from opentelemetry.trace import set_span_in_context

        self._tracer, self._span, self._offset_ns = tracer, span, offset_ns
        self._context = set_span_in_context(span)
        ids = span.get_span_context()
        self.traceparent = f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"

    def record_phase(self, name: str, start_s: float, end_s: float) -> None:
        self._tracer.later(lambda: self._record_phase(name, start_s, end_s))

    def start_call(self, model: str, start_s: float) -> "Span | None":
        """The span of a call; spans of the called model belong under it. None when it fails."""
        try:
            span = self._child(f"call {model}", start_s, {"triton.model.name": model})
            return Span(self._tracer, span, self._offset_ns)
        except Exception:
            logger.exception("a call is not traced")
            return None

    def set_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        copied = dict(attributes)
        self._tracer.later(lambda: self._span.set_attributes(copied))

    def end(self, outcome: str, end_s: float) -> None:
        """End the span. Any outcome but ok marks an error without its message: that may quote the
        request."""
        self._tracer.later(lambda: self._end(outcome, end_s))

    def _record_phase(self, name: str, start_s: float, end_s: float) -> None:
        kind = "queue" if name == "queue" else "compute"
        self._child(name, start_s, {"rag.kind": kind}).end(self._unix_ns(end_s))

    def _child(self, name: str, start_s: float, attributes: Mapping[str, str]) -> "OtelSpan":
        return self._tracer.otel.start_span(
            name, self._context, start_time=self._unix_ns(start_s), attributes=attributes
        )

    def _end(self, outcome: str, end_s: float) -> None:
        from opentelemetry.trace import Status, StatusCode

        if outcome != "ok":
            self._span.set_status(Status(StatusCode.ERROR))
            self._span.set_attribute("error.type", outcome)
        self._span.end(self._unix_ns(end_s))

    def _unix_ns(self, perf_counter_s: float) -> int:
        return self._offset_ns + _ns(perf_counter_s)


def _ns(seconds: float) -> int:
    return int(seconds * 1e9)
