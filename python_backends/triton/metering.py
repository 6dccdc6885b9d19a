"""Metrics on tritonserver's page, at a price that requests don't pay.

One write to a Triton metric takes 18 to 180 us and waits for the server (facts: triton-on-cpu). So
a series only takes notes, and a thread per process hands them on. It alone deals with Triton: what
goes wrong there is logged once and harms no request.
"""

import ctypes
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Any, TypeVar

from ensembles.metrics import Kind, Metric
from python_backends.triton.bls import stub

FLUSH_S = 0.1
"""Pause between two rounds of handing on: how old a number on the page can be."""

MAX_OBSERVATIONS = 20_000
"""Values that a histogram keeps for the server; when it takes none, the oldest are lost."""

CLOSE_S = 2.0
"""How long the last round may take before the process ends without it."""

logger = logging.getLogger("python_backends.triton.metering")


class Series(ABC):
    """Notes of one series, and the metric of Triton that they go to."""

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        self.metric, self.labels = metric, dict(labels)
        self._lock = threading.Lock()
        self._target: Any = None

    def flush(self) -> None:
        """Hand on; raises what Triton raises, with the notes kept."""
        if self._target is None:
            self._target = _make(self.metric, self.labels)
        self._flush()

    @abstractmethod
    def _flush(self) -> None: ...


class CounterSeries(Series):
    """Adds up until the next round."""

    _pending = 0.0

    def increment(self, value: float = 1.0) -> None:
        """Add to it."""
        with self._lock:
            self._pending += value

    def _flush(self) -> None:
        if value := self._pending:
            self._target.increment(value)
            self.increment(-value)


class GaugeSeries(Series):
    """Keeps the last value."""

    _value: float | None = None
    _shown: float | None = None

    def set(self, value: float) -> None:
        """Show this value from now on."""
        self._value = value

    def _flush(self) -> None:
        value = self._value
        if value is not None and value != self._shown:
            self._target.set(value)
            self._shown = value


class HistogramSeries(Series):
    """Keeps each value: Triton takes them one by one."""

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        super().__init__(metric, labels)
        self._values: deque[float] = deque(maxlen=MAX_OBSERVATIONS)

    def observe(self, value: float) -> None:
        """Count one value."""
        self._values.append(value)

    def _flush(self) -> None:
        for _ in range(len(self._values)):  # those of now: a busy model must not hold the round
            self._target.observe(self._values.popleft())


_S = TypeVar("_S", bound=Series)


class TritonMeter:
    """The metrics of one model instance, all with its labels."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._series: dict[tuple[object, ...], Series] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failed: set[Series] = set()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def counter(self, metric: Metric, **labels: str) -> CounterSeries:
        """A series of a counter."""
        return self._get(CounterSeries, metric, labels)

    def gauge(self, metric: Metric, **labels: str) -> GaugeSeries:
        """A series of a gauge."""
        return self._get(GaugeSeries, metric, labels)

    def histogram(self, metric: Metric, **labels: str) -> HistogramSeries:
        """A series of a histogram."""
        return self._get(HistogramSeries, metric, labels)

    def flush(self) -> None:
        """One round over all series."""
        for series in list(self._series.values()):
            try:
                series.flush()
            except Exception:  # the server may be going down; a request must not notice
                if series not in self._failed:
                    logger.exception("metric %s can't be shown; trying on", series.metric.name)
                    self._failed.add(series)

    def close(self) -> None:
        """A last round, if the server takes it in time."""
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _get(self, kind: type[_S], metric: Metric, labels: Mapping[str, str]) -> _S:
        with self._lock:
            key = (kind, metric.name, *labels.items())
            found = self._series.get(key)
            if found is None:
                found = self._series[key] = kind(metric, self._labels | dict(labels))
        assert isinstance(found, kind)
        return found

    def _run(self) -> None:
        while not self._closing.wait(FLUSH_S):
            self.flush()
        self.flush()


def _make(metric: Metric, labels: Mapping[str, str]) -> Any:
    """Triton's metric; instances that ask for the same one share it."""
    pb = stub()
    kind = getattr(pb.MetricFamily, metric.kind.name)
    family = pb.MetricFamily(name=metric.name, description=metric.help, kind=kind)
    options = {"buckets": list(metric.bounds)} if metric.kind is Kind.HISTOGRAM else {}
    made = family.Metric(labels=dict(labels), **options)
    for each in (family, made):
        _keep_for_ever(each)
    return made


def _keep_for_ever(thing: object) -> None:
    """Keep it from ever being destroyed in this process.

    Destroying a metric that another instance shares crashes the server when that one writes on
    (triton-inference-server/server#8663), and the stub when it ends (#8662).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
