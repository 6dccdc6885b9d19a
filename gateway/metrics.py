"""The gateway's own metrics, on one page with the models'."""

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

import prometheus_client as prometheus

from ensembles.metrics import (
    GATEWAY_CACHE_LOOKUPS,
    GATEWAY_CALLS,
    GATEWAY_DURATION,
    GATEWAY_HELD,
    GATEWAY_MODELS_PAGE,
    GATEWAY_OPEN,
    GATEWAY_REDACTIONS,
    GATEWAY_REQUESTS,
    GATEWAY_RUNNING,
    GATEWAY_TIME_TO_FIRST_TOKEN,
    GATEWAY_TOKENS,
    GATEWAY_WAITING,
    Kind,
    Metric,
)
from gateway.access.admission import Admission
from gateway.call import Call, CallPiece, Event, Handler, Label, Text, Usage, is_whole
from gateway.errors import GatewayError

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST
TENANTS = 100
"""Most tenants with series of their own; each has several for every model."""


class Metrics:
    def __init__(self) -> None:
        self._registry, self._tenants = prometheus.CollectorRegistry(), set[str]()
        prometheus.ProcessCollector(registry=self._registry)
        self.requests = self._new(GATEWAY_REQUESTS)
        self.duration_s = self._new(GATEWAY_DURATION)
        self.open = self._new(GATEWAY_OPEN)
        self.calls = self._new(GATEWAY_CALLS)
        self.time_to_first_token_s = self._new(GATEWAY_TIME_TO_FIRST_TOKEN)
        self.tokens = self._new(GATEWAY_TOKENS)
        self._lookups = self._new(GATEWAY_CACHE_LOOKUPS)
        self._redactions = self._new(GATEWAY_REDACTIONS)
        self._models_page_up = self._new(GATEWAY_MODELS_PAGE)

    def watch(self, admissions: Mapping[str, Admission]) -> None:
        """Shows how many requests wait and run in each admission, whenever the page is read."""
        waiting, running = self._new(GATEWAY_WAITING), self._new(GATEWAY_RUNNING)
        held = self._new(GATEWAY_HELD)
        for kind, admission in admissions.items():
            waiting.labels(kind).set_function(partial(getattr, admission.queue, "waiting"))
            running.labels(kind).set_function(partial(getattr, admission.queue, "running"))
            held.labels(kind).set_function(partial(getattr, admission, "is_held"))

    def page(self, of_models: bytes) -> bytes:
        """The metrics in Prometheus' text format, after the models' page, which may be empty."""
        self._models_page_up.set(bool(of_models))
        return of_models + prometheus.generate_latest(self._registry)

    def count_lookup(self, result: str) -> None:
        """`result` is hit, miss or semantic."""
        self._lookups.labels(result).inc()

    def count_redactions(self, direction: str, pattern: str, number: int) -> None:
        """`direction` is input or output."""
        self._redactions.labels(direction, pattern).inc(number)

    def count_tokens(self, model: str, tenant: str, usage: Usage) -> None:
        if len(self._tenants) < TENANTS:
            self._tenants.add(tenant)
        of = partial(self.tokens.labels, model, tenant if tenant in self._tenants else "other")
        of("input").inc(usage.input_tokens)
        of("cached").inc(usage.cached_tokens)
        of("output").inc(usage.output_tokens)

    def _new(self, metric: Metric) -> Any:
        if metric.kind is Kind.HISTOGRAM:
            return prometheus.Histogram(
                metric.name,
                metric.help,
                metric.labels,
                buckets=metric.bounds,
                registry=self._registry,
            )
        kind = prometheus.Counter if metric.kind is Kind.COUNTER else prometheus.Gauge
        return kind(metric.name, metric.help, metric.labels, registry=self._registry)


def metered(inner: Handler, metrics: Metrics, label: Label) -> Handler:
    """Counts every call with its tokens, including those of streams that failed."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        started_s, first_s, outcome = time.perf_counter(), 0.0, "cancelled"
        try:
            async with aclosing(inner(call)) as events:
                async for event in events:
                    if not first_s and isinstance(event, Text | CallPiece):
                        first_s = time.perf_counter()
                    if is_whole(event, call.request):
                        outcome = "ok"
                    yield event
        except GatewayError as error:
            outcome = outcome_of(error)
            raise
        except Exception:
            outcome = "failed"
            raise
        finally:
            model = label(call.request.model)
            metrics.calls.labels(model, outcome).inc()
            metrics.count_tokens(model, call.caller.tenant, call.usage or Usage())
            if first_s:
                metrics.time_to_first_token_s.labels(model).observe(first_s - started_s)

    return answer


def outcome_of(error: GatewayError) -> str:
    """One of `OUTCOMES`; a limit of the key counts as overloaded, a deadline as cancelled."""
    if error.status in (429, 503):
        return "overloaded"
    if error.status == 504:
        return "cancelled"
    return "invalid" if error.status < 500 else "failed"
