"""The supervisor's metrics page, from the definitions in ensembles/metrics.py."""

import prometheus_client as prometheus

from ensembles.metrics import (
    CANARY_DURATION,
    CONNECTIONS_ENDED,
    MODEL_UP,
    RECOVERIES,
    SUPERVISOR_READY,
    Metric,
)
from operations.supervisor.events import RECOVERY_CAUSES, SERVER, Cause

prometheus.disable_created_metrics()  # type: ignore[no-untyped-call]
CONTENT_TYPE = prometheus.CONTENT_TYPE_LATEST


class SupervisorMetrics:
    """One registry for each supervisor, so that several can live in one process."""

    def __init__(self, models: tuple[str, ...]) -> None:
        self._registry = prometheus.CollectorRegistry()
        self._ready = self._gauge(SUPERVISOR_READY)
        self._up = self._gauge(MODEL_UP, "model")
        self._recoveries = prometheus.Counter(
            RECOVERIES.name, RECOVERIES.help, ("model", *RECOVERIES.labels), registry=self._registry
        )
        self._canary_s = prometheus.Histogram(
            CANARY_DURATION.name,
            CANARY_DURATION.help,
            ("model",),
            buckets=CANARY_DURATION.bounds,
            registry=self._registry,
        )
        self._connections = prometheus.Counter(
            CONNECTIONS_ENDED.name, CONNECTIONS_ENDED.help, registry=self._registry
        )
        self._models = models
        for model in (*models, SERVER):
            for cause in RECOVERY_CAUSES:
                self._recoveries.labels(model, cause)

    def recovered(self, model: str, cause: Cause) -> None:
        """A model was reloaded, or the server started again."""
        self._recoveries.labels(model, cause).inc()

    def canary_answered(self, model: str, seconds: float) -> None:
        """A canary came back well."""
        self._canary_s.labels(model).observe(seconds)

    def connections_ended(self, count: int) -> None:
        """Client connections were ended."""
        self._connections.inc(count)

    def page(self, ready: bool, up: dict[str, bool]) -> bytes:
        """Prometheus' text format; a model that `up` lacks is down, as with the server."""
        self._ready.set(ready)
        for model in self._models:  # no other series: one that is never set again would stay at 0
            self._up.labels(model).set(up.get(model, False))
        return prometheus.generate_latest(self._registry)

    def _gauge(self, metric: Metric, *labels: str) -> prometheus.Gauge:
        return prometheus.Gauge(metric.name, metric.help, labels, registry=self._registry)
