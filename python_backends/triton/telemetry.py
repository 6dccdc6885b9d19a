"""Metrics and spans that every request of every model has: outcome, duration, phases."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ensembles.metrics import OUTCOMES, REQUEST_DURATION, REQUESTS, STAGE_DURATION
from python_backends.context import Histogram, Meter
from python_backends.errors import outcome_of
from python_backends.stage import Attribute
from python_backends.triton.tracing import Tracer


class Telemetry:
    """The request metrics of one model, and its tracer; None means that nothing is traced.

    Every outcome has a counter from the start: a rate over a counter that appears later misses its
    first increment.
    """

    def __init__(self, meter: Meter, tracer: Tracer | None) -> None:
        self.meter, self.tracer = meter, tracer
        self._outcomes = {name: meter.counter(REQUESTS, outcome=name) for name in OUTCOMES}
        self._duration = meter.histogram(REQUEST_DURATION)
        self._phases: dict[str, Histogram] = {}

    def observe_phase(self, name: str, duration_s: float) -> None:
        if name not in self._phases:
            self._phases[name] = self.meter.histogram(STAGE_DURATION, stage=name)
        self._phases[name].observe(duration_s)

    def observe_request(self, outcome: str, duration_s: float) -> None:
        self._outcomes[outcome].increment()
        self._duration.observe(duration_s)


class RequestRecord:
    """The metrics and the span of one Triton request; made when it arrives.

    The methods are explained in `python_backends.stage.Stream`.
    """

    def __init__(self, telemetry: Telemetry, request: Any) -> None:
        self.arrival_s = time.perf_counter()
        self._telemetry = telemetry
        tracer = telemetry.tracer
        self._span = tracer.start(request, self.arrival_s) if tracer else None

    def record_phase(self, name: str, start_s: float, end_s: float) -> None:
        self._telemetry.observe_phase(name, end_s - start_s)
        if self._span:
            self._span.record_phase(name, start_s, end_s)

    @contextmanager
    def model_call(self, model: str) -> Iterator[str | None]:
        start_s = time.perf_counter()
        span = self._span.start_call(model, start_s) if self._span else None
        outcome = "ok"
        try:
            yield span.traceparent if span else None
        except Exception as error:
            outcome = outcome_of(error)
            raise
        finally:
            end_s = time.perf_counter()
            self._telemetry.observe_phase(model, end_s - start_s)
            if span:
                span.end(outcome, end_s)

    def set_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        if self._span:
            self._span.set_attributes(attributes)

    def finish(self, outcome: str | None, end_s: float) -> None:
        """The request is over; with None it is neither counted nor traced."""
        if outcome is None:
            return
        self._telemetry.observe_request(outcome, end_s - self.arrival_s)
        if self._span:
            self._span.end(outcome, end_s)
