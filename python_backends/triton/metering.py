"""Metrics on tritonserver's page, without making requests wait.

One write to a Triton metric takes 18 to 180 us and waits for the server (measured on Triton 2.51,
CPU). So a series only stores values, and one thread per process writes them to Triton. An error of
Triton's metrics is logged once and affects no request.
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
"""Pause between two flushes, so also how old a number on the page can be."""

MAX_OBSERVATIONS = 20_000
"""Values that a histogram stores while the server takes none; the oldest are dropped."""

CLOSE_S = 2.0
"""How long the last flush may take before the process ends without it."""

logger = logging.getLogger(__name__)


class Series(ABC):
    """Values of one series that Triton doesn't have yet."""

    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        self.metric, self.labels = metric, dict(labels)
        self._lock = threading.Lock()
        self._target: Any = None

    def flush(self) -> None:
        """Write to Triton; raises what Triton raises, with the values kept."""
        if self._target is None:
            self._target = _make(self.metric, self.labels)
        self._flush()

    @abstractmethod
    def _flush(self) -> None: ...


class CounterSeries(Series):
    _pending = 0.0

    def increment(self, value: float = 1.0) -> None:
        with self._lock:
            self._pending += value

    def _flush(self) -> None:
        if value := self._pending:
            self._target.increment(value)
            self.increment(-value)


class GaugeSeries(Series):
    _value: float | None = None
    _shown: float | None = None

    def set(self, value: float) -> None:
        self._value = value

    def _flush(self) -> None:
        value = self._value
        if value is not None and value != self._shown:
            self._target.set(value)
            self._shown = value


class HistogramSeries(Series):
    def __init__(self, metric: Metric, labels: Mapping[str, str]) -> None:
        super().__init__(metric, labels)
        self._values: deque[float] = deque(maxlen=MAX_OBSERVATIONS)

    def observe(self, value: float) -> None:
        self._values.append(value)

    def _flush(self) -> None:
        # Only the values that are there now: on a busy model the flush would not end otherwise.
        for _ in range(len(self._values)):
            self._target.observe(self._values.popleft())


_S = TypeVar("_S", bound=Series)


class TritonMeter:
    """The `Meter` of one model instance; `labels` are put on all of its series."""

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = dict(labels)
        self._series: dict[tuple[object, ...], Series] = {}
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._failed: set[Series] = set()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def counter(self, metric: Metric, **labels: str) -> CounterSeries:
        return self._get(CounterSeries, metric, labels)

    def gauge(self, metric: Metric, **labels: str) -> GaugeSeries:
        return self._get(GaugeSeries, metric, labels)

    def histogram(self, metric: Metric, **labels: str) -> HistogramSeries:
        return self._get(HistogramSeries, metric, labels)

    def flush(self) -> None:
        for series in list(self._series.values()):
            try:
                series.flush()
            except Exception:  # the server may be going down; requests go on
                if series not in self._failed:
                    logger.exception("metric %s can't be written; retrying", series.metric.name)
                    self._failed.add(series)

    def close(self) -> None:
        self._closing.set()
        self._thread.join(CLOSE_S)

    def _get(self, kind: type[_S], metric: Metric, labels: Mapping[str, str]) -> _S:
        with self._lock:
            key = (kind, metric.name, *labels.items())
            series = self._series.get(key)
            if series is None:
                series = self._series[key] = kind(metric, self._labels | dict(labels))
        assert isinstance(series, kind)
        return series

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
        _never_destroy(each)
    return made


def _never_destroy(thing: object) -> None:
    """Keep a Python object alive until the process ends.

    Destroying a metric that another instance shares crashes the server when that instance writes
    to it (triton-inference-server/server#8663), and the stub when it ends (#8662).
    """
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))
