"""Every metric that panels and rules may read: ours, and what Triton and Prometheus add.

Triton's own are read for what ours don't have: each model's queue and compute time, by its
scheduler. Its counts of requests tell no errors: it counts error responses as successes.
"""

from builders.served_models import ENSEMBLES, PYTHON_MODELS
from ensembles.metrics import (
    CONNECTIONS_ENDED,
    MODEL_METRICS,
    OUTCOMES,
    SUPERVISOR_METRICS,
    SUPERVISOR_READY,
    Kind,
    Metric,
)

QUEUE_US = Metric(
    "nv_inference_queue_duration_us",
    Kind.COUNTER,
    "Microseconds that requests waited in Triton's scheduler, summed",
)
COMPUTE_US = Metric(
    "nv_inference_compute_infer_duration_us",
    Kind.COUNTER,
    "Microseconds that requests spent in the model itself, summed",
)
EXECUTED = Metric(
    "nv_inference_request_success",
    Kind.COUNTER,
    "Requests that a model answered, with errors too: what the two times above are summed over",
)
PENDING = Metric(
    "nv_inference_pending_request_count", Kind.GAUGE, "Requests in the queue of Triton's scheduler"
)
TRITON_METRICS = (QUEUE_US, COMPUTE_US, EXECUTED, PENDING)

UP = Metric("up", Kind.GAUGE, "1 when the last scrape of a target succeeded", ("job", "instance"))

TRITON_JOB, SUPERVISOR_JOB = "tritonserver", "supervisor"
"""Names that the scrape configuration gives its targets."""

KNOWN = (*MODEL_METRICS, *SUPERVISOR_METRICS, *TRITON_METRICS, UP)
_TARGET_LABELS = ("job", "instance")
_MODELS = tuple(m.contract.name for m in PYTHON_MODELS) + tuple(g.name for g in ENSEMBLES)
_VALUES = {
    "outcome": OUTCOMES,
    "type": ("input", "output", "cached"),
    "source": ("computed", "cached"),
    "cause": ("dead", "stopped", "stuck", "failing", "caller"),
    "job": (TRITON_JOB, SUPERVISOR_JOB),
    "model": _MODELS,
}


def labels_of(metric: Metric) -> tuple[str, ...]:
    """Those that its series have; raises `KeyError` for a metric that nobody serves."""
    if metric not in KNOWN:
        raise KeyError(f"{metric.name} is not served; there are {[each.name for each in KNOWN]}")
    if metric is UP:
        return metric.labels
    if metric in (SUPERVISOR_READY, CONNECTIONS_ENDED):
        return (*metric.labels, *_TARGET_LABELS)
    if metric in SUPERVISOR_METRICS:
        return ("model", *metric.labels, *_TARGET_LABELS)
    return ("model", "version", *metric.labels, *_TARGET_LABELS)


def values_of(label: str) -> tuple[str, ...]:
    """The only values that it has; empty where they are open."""
    return _VALUES.get(label, ())
