"""OpenTelemetry spans of the gateway's part of a call; they are parents of the models' spans.

Tracing is on if the environment names a collector (OTEL_EXPORTER_OTLP_ENDPOINT), as for the models;
otherwise the SDK is not even imported. Spans hold no text of a request or an answer.

gateway: from the request's arrival to the end of its answer
├── admission: body, key, guards, limits, cache
├── queue: waits for its turn
└── upstream: the models' server; the models' spans are below it
    └── first byte: until the first part of the answer
"""

import os
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import TYPE_CHECKING

from gateway.call import Call, Event, Handler
from gateway.guards.records import origin_headers

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
SERVICE = "triton-rag-gateway"
CLOSE_S = 3.0
"""How long the last export may take before the process ends without it."""


class Tracing:
    """Makes the spans; without a provider it makes none."""

    def __init__(self, provider: "TracerProvider | None") -> None:
        self._tracer = provider.get_tracer("gateway") if provider else None

    def around_call(self, inner: Handler) -> Handler:
        """`inner` inside the span `gateway`, whose parent is the caller's `traceparent`."""
        return self._around(inner, "gateway") if self._tracer else inner

    def around_upstream(self, inner: Handler) -> Handler:
        """`inner`, which asks the models' server, inside the span `upstream`."""
        return self._around(inner, "upstream") if self._tracer else inner

    def _around(self, inner: Handler, name: str) -> Handler:
        async def answer(call: Call) -> AsyncGenerator[Event, None]:
            above, arrived_s = call.traceparent, call.moments.arrived_s
            began_s = arrived_s if name == "gateway" and arrived_s else time.perf_counter()
            first_s = 0.0
            with self._span(call, name, began_s) as span:
                try:
                    async with aclosing(inner(call)) as events:
                        async for event in events:
                            first_s = first_s or time.perf_counter()
                            yield event
                finally:
                    if name == "gateway":
                        self._record_way_in(call, began_s)
                        span.set_attributes(origin_headers(call))
                    elif first_s:
                        self._record(call, "first byte", began_s, first_s)
                    call.traceparent = above

        return answer

    @contextmanager
    def _span(self, call: Call, name: str, began_s: float) -> "Iterator[Span]":
        """A span whose parent is the call's `traceparent`; inside, that names this span. An error
        marks the span by its class."""
        span = self._started(call, name, began_s)
        span.set_attribute("triton.request.id", call.request_id)
        call.traceparent = _traceparent(span)
        try:
            yield span
        except Exception as error:
            from opentelemetry.trace import StatusCode

            span.set_status(StatusCode.ERROR)
            span.set_attribute("error.type", type(error).__name__)
            raise
        finally:
            span.end(_unix_ns(time.perf_counter()))

    def _record_way_in(self, call: Call, began_s: float) -> None:
        moments, now_s = call.moments, time.perf_counter()
        self._record(call, "admission", began_s, moments.queued_s or now_s)
        if moments.queued_s:
            self._record(call, "queue", moments.queued_s, moments.admitted_s or now_s, "queue")

    def _record(
        self, call: Call, name: str, began_s: float, ended_s: float, kind: str = ""
    ) -> None:
        span = self._started(call, name, began_s)
        if kind:
            span.set_attribute("rag.kind", kind)
        span.end(_unix_ns(ended_s))

    def _started(self, call: Call, name: str, began_s: float) -> "Span":
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        assert self._tracer is not None
        return self._tracer.start_span(
            name,
            context=TraceContextTextMapPropagator().extract(call.trace_headers),
            start_time=_unix_ns(began_s),
        )


@contextmanager
def open_tracing() -> Iterator[Tracing]:
    """Tracing as the environment sets it; at the end the rest is exported within `CLOSE_S`."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        yield Tracing(None)
        return
    provider = _new_provider()
    try:
        yield Tracing(provider)
    finally:
        last = threading.Thread(target=provider.shutdown, name="last-export", daemon=True)
        last.start()
        last.join(CLOSE_S)


def _new_provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
    resource = Resource.create({"service.name": name})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _traceparent(span: "Span") -> str:
    ids = span.get_span_context()
    return f"00-{ids.trace_id:032x}-{ids.span_id:016x}-{ids.trace_flags:02x}"


def _unix_ns(perf_counter_s: float) -> int:
    return time.time_ns() - int((time.perf_counter() - perf_counter_s) * 1e9)
