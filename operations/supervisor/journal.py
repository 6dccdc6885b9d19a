"""Records what the supervisor did: as events, as printed lines, and as metrics for Prometheus."""

import functools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import prometheus_client as prometheus

from ensembles import metrics
from ensembles.metrics import Metric

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

MAX_EVENTS = 10_000
SERVER = "tritonserver"
"""Used as the name of a model where the whole server is meant."""


class Cause(StrEnum):
    """Why something was done."""

    DEAD = "dead"
    STOPPED = "stopped"
    STUCK = "stuck"
    FAILING = "failing"
    FULL = "full"
    STOPPING = "stopping"


@dataclass(frozen=True)
class Event:
    """What was done at `time_s` (Unix time), `seconds` after its cause was noticed."""

    time_s: float
    model: str
    cause: Cause
    action: str
    seconds: float

    def line(self) -> str:
        """The line as logged: `2026-11-21T06:00:00Z tokenizer dead: reloaded after 0.84 s`."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time_s))
        taken = f" after {self.seconds:.2f} s" if self.seconds else ""
        return f"{when} {self.model} {self.cause}: {self.action}{taken}"


_print = functools.partial(print, flush=True)
"""Prints to standard output at once, also if that is a file."""


class Journal:
    """The newest events, oldest first, and the supervisor's metrics of ensembles/metrics.py."""

    def __init__(self, models: Iterable[str], write: Callable[[str], None] = _print) -> None:
        self.events: list[Event] = []
        self._write, self._models = write, tuple(models)
        self._registry = prometheus.CollectorRegistry()
        self._ready = self._metric(prometheus.Gauge, metrics.SUPERVISOR_READY)
        self._up = self._metric(prometheus.Gauge, metrics.MODEL_UP, "model")
        self._recoveries = self._metric(prometheus.Counter, metrics.RECOVERIES, "model")
        buckets = metrics.CANARY_DURATION.bounds
        self.canary_s = self._metric(
            prometheus.Histogram, metrics.CANARY_DURATION, "model", buckets=buckets
        )
        self.connections_ended = self._metric(prometheus.Counter, metrics.CONNECTIONS_ENDED)
        for model in (*self._models, SERVER):
            for cause in set(Cause) - {Cause.STOPPING}:  # alerts need a series from the start
                self._recoveries.labels(model, cause)

    def _metric(self, kind: Any, metric: Metric, *labels: str, **options: Any) -> Any:
        names = (*labels, *metric.labels)
        return kind(metric.name, metric.help, names, registry=self._registry, **options)

    def add(self, model: str, cause: Cause, action: str, seconds: float = 0.0) -> None:
        event = Event(time.time(), model, cause, action, seconds)
        self.events.append(event)
        del self.events[:-MAX_EVENTS]
        self._write(event.line())

    def recovered(self, model: str, cause: Cause, action: str, seconds: float) -> None:
        """Record that a model was reloaded, or the server restarted."""
        self._recoveries.labels(model, cause).inc()
        self.add(model, cause, action, seconds)

    def metrics_page(self, is_ready: bool, is_up: Mapping[str, bool]) -> bytes:
        """The metrics in Prometheus' text format. A model that `is_up` lacks is down, as all are
        while the server is."""
        self._ready.set(is_ready)
        for model in self._models:  # no other series: one that is never set again would stay at 0
            self._up.labels(model).set(is_up.get(model, False))
        return prometheus.generate_latest(self._registry)
