"""What is told of every request, whatever the model: how it ended, how long it took, where.

A record takes notes while its request runs. Metrics get theirs at once, which is cheap; a trace
only when tracing is on.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from ensembles.metrics import (
    BATCH_REQUESTS,
    OUTCOMES,
    REQUEST_DURATION,
    REQUESTS,
    STAGE_DURATION,
)
from python_backends.stage import Attribute, Histogram, Meter, outcome_of
from python_backends.triton.tracing import NoSpan, Span, Tracer

logger = logging.getLogger("python_backends.triton.telemetry")


_T = TypeVar("_T")


class Telemetry:
    """The metrics that every model has, and its traces.

    All outcomes are shown from the start: a rate over a counter that appears late misses its
    first increment.
    """

    def __init__(self, meter: Meter, tracer: Tracer) -> None:
        self.meter, self._tracer = meter, tracer
        self._outcomes = {name: meter.counter(REQUESTS, outcome=name) for name in OUTCOMES}
        self._duration = meter.histogram(REQUEST_DURATION)
        self._stages: dict[str, Histogram] = {}

    def record(self, request: Any) -> "Record":
        """Begin with a request of Triton that has just come."""
        arrival_s = time.perf_counter()
        return Record(self, self._tracer.start(request, arrival_s), arrival_s)

    def batch(self) -> "BatchTelemetry":
        """For a model whose requests are answered together."""
        return BatchTelemetry(self)

    def stage(self, name: str, seconds: float) -> None:
        """A part of a request took so long."""
        if name not in self._stages:
            self._stages[name] = self.meter.histogram(STAGE_DURATION, stage=name)
        self._stages[name].observe(seconds)

    def ended(self, outcome: str, seconds: float) -> None:
        """A request ended."""
        self._outcomes[outcome].increment()
        self._duration.observe(seconds)


class BatchTelemetry:
    """Adds how many requests came together."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._requests = telemetry.meter.histogram(BATCH_REQUESTS)

    def came(self, requests: int) -> None:
        """An execution has so many requests."""
        self._requests.observe(requests)


class Record:
    """One request from its arrival to its end. A span that fails harms no request."""

    def __init__(self, telemetry: Telemetry, span: Span, arrival_s: float) -> None:
        self._telemetry, self._span = telemetry, span
        self.arrival_s = arrival_s

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """A part of the time, as `Stream.part`."""
        self._telemetry.stage(name, end_s - start_s)
        _harmless(lambda: self._span.part(name, start_s, end_s))

    @contextmanager
    def calling(self, model: str) -> Iterator[str | None]:
        """Around a call to another model, as `Stream.calling`."""
        start_s = time.perf_counter()
        span = _harmless(lambda: self._span.call(model, start_s)) or NoSpan()
        outcome = "ok"
        try:
            yield span.traceparent
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            end_s = time.perf_counter()
            self._telemetry.stage(model, end_s - start_s)
            _harmless(lambda: span.end(outcome, end_s))

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Attributes of the span."""
        _harmless(lambda: self._span.describe(attributes))

    def end(self, outcome: str | None, end_s: float) -> None:
        """The request is over; None leaves no trace of it."""
        if outcome is not None:
            self._telemetry.ended(outcome, end_s - self.arrival_s)
            _harmless(lambda: self._span.end(outcome, end_s))


def _harmless(act: Callable[[], _T]) -> _T | None:
    try:
        return act()
    except Exception:
        logger.exception("a span could not be kept; its request goes on")
        return None
