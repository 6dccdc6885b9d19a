"""What the supervisor did: kept, printed as one line each, and counted for Prometheus."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import prometheus_client as prometheus

from ensembles.metrics import (
    CANARY_DURATION,
    CONNECTIONS_ENDED,
    MODEL_UP,
    RECOVERIES,
    SUPERVISOR_READY,
)

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST

MAX_EVENTS = 10_000
SERVER = "tritonserver"
"""Stands in the place of a model where the whole server is meant."""


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
    ok: bool

    def line(self) -> str:
        """As logged: `2026-11-21T06:00:00Z tokenizer dead: reloaded after 0.84 s`."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time_s))
        taken = f" after {self.seconds:.2f} s" if self.seconds else ""
        return f"{when} {self.model} {self.cause}: {self.action}{taken}"


def print_line(line: str) -> None:
    """To standard output at once, also where that is a file."""
    print(line, flush=True)


class Journal:
    """The newest events, oldest first, and the supervisor's metrics of ensembles/metrics.py."""

    def __init__(self, models: Iterable[str], write: Callable[[str], None] = print_line) -> None:
        self.events: list[Event] = []
        self._write = write
        self._registry = registry = prometheus.CollectorRegistry()
        ready, up, recoveries = SUPERVISOR_READY, MODEL_UP, RECOVERIES
        canary, ended, by = CANARY_DURATION, CONNECTIONS_ENDED, ("model",)
        self._ready = prometheus.Gauge(ready.name, ready.help, registry=registry)
        self._up = prometheus.Gauge(up.name, up.help, by, registry=registry)
        self._recoveries = prometheus.Counter(
            recoveries.name, recoveries.help, (*by, *recoveries.labels), registry=registry
        )
        self.canary_s = prometheus.Histogram(
            canary.name, canary.help, by, buckets=canary.bounds, registry=registry
        )
        self.connections_ended = prometheus.Counter(ended.name, ended.help, registry=registry)
        self._models = tuple(models)
        for model in (
            *self._models,
            SERVER,
        ):  # a series there from the start can be alerted on
            for cause in set(Cause) - {Cause.STOPPING}:
                self._recoveries.labels(model, cause)

    def add(
        self, model: str, cause: Cause, action: str, seconds: float = 0.0, ok: bool = True
    ) -> None:
        """`ok` is false where it did not help."""
        event = Event(time.time(), model, cause, action, seconds, ok)
        self.events.append(event)
        del self.events[:-MAX_EVENTS]
        self._write(event.line())

    def recovered(self, model: str, cause: Cause, action: str, seconds: float) -> None:
        """A model was reloaded, or the server restarted."""
        self._recoveries.labels(model, cause).inc()
        self.add(model, cause, action, seconds)

    def metrics_page(self, is_ready: bool, is_up: Mapping[str, bool]) -> bytes:
        """Prometheus' text format; a model that `is_up` lacks is down, as with the server."""
        self._ready.set(is_ready)
        for model in self._models:  # no other series: one that is never set again would stay at 0
            self._up.labels(model).set(is_up.get(model, False))
        return prometheus.generate_latest(self._registry)
