"""Every metric that we serve: what it counts, in which unit, by which labels.

The one source of truth: the models make their metrics from it, dashboards, alerts and the
documentation are generated from it. Names follow Prometheus (base units, `_total` on counters) and
OpenTelemetry's semantic conventions for generative AI where those name the same thing. Histograms
have fixed bounds, so that they add up over instances, replicas and versions.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """How a metric behaves."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """A metric family. Every one has the labels `model` and `version`, `labels` come on top.

    `bounds` are the upper ends of a histogram's buckets, in the unit of the metric.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


DURATION_BOUNDS_S = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5),
    *(1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 300.0),
)
"""Of whole requests and their parts: 1-2-5 from a millisecond, up to the longest stream."""

TOKEN_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Of one token: from the reference LLM on a CPU to a stalled batch."""

COUNT_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""Of rows and requests that share an execution."""

OUTCOMES = ("ok", "invalid", "overloaded", "cancelled", "failed")
"""How a request can end: served; at fault itself; refused for lack of room; ended by its client or
its deadline; failed through a fault of ours."""

REQUESTS = Metric(
    "rag_requests_total",
    Kind.COUNTER,
    "Requests that ended, by outcome: ok, invalid, overloaded, cancelled or failed",
    ("outcome",),
)
REQUEST_DURATION = Metric(
    "rag_request_duration_seconds",
    Kind.HISTOGRAM,
    "From a request's arrival in the model to its last response",
    bounds=DURATION_BOUNDS_S,
)
STAGE_DURATION = Metric(
    "rag_stage_duration_seconds",
    Kind.HISTOGRAM,
    "Parts of a request inside a model: of `llm` tokenize, queue (until the batch takes it), "
    "prefill (until its first token) and decode; of a graph runner its queue and each of its steps",
    ("stage",),
    DURATION_BOUNDS_S,
)
BATCH_REQUESTS = Metric(
    "rag_batch_requests",
    Kind.HISTOGRAM,
    "Requests that one execution of a model answered together",
    bounds=COUNT_BOUNDS,
)
BATCH_ROWS = Metric(
    "rag_batch_rows",
    Kind.HISTOGRAM,
    "Rows of one compute batch of an encoder",
    bounds=COUNT_BOUNDS,
)
ROWS = Metric(
    "rag_rows_total",
    Kind.COUNTER,
    "Rows that an encoder gave, by source: computed, or cached from an equal row before",
    ("source",),
)
TIME_TO_FIRST_TOKEN = Metric(
    "gen_ai_server_time_to_first_token_seconds",
    Kind.HISTOGRAM,
    "From a request's arrival in `llm` to its first token",
    bounds=DURATION_BOUNDS_S,
)
TIME_PER_OUTPUT_TOKEN = Metric(
    "gen_ai_server_time_per_output_token_seconds",
    Kind.HISTOGRAM,
    "Of one request: the time behind its first token, divided by the tokens behind it",
    bounds=TOKEN_BOUNDS_S,
)
INTER_TOKEN = Metric(
    "llm_inter_token_latency_seconds",
    Kind.HISTOGRAM,
    "Between two chunks of a stream, divided by the later one's tokens",
    bounds=TOKEN_BOUNDS_S,
)
TOKENS = Metric(
    "llm_tokens_total",
    Kind.COUNTER,
    "Tokens by type: input, output, and cached (the part of input whose keys and values were "
    "reused, where the engine tells)",
    ("type",),
)
ITERATIONS = Metric("llm_iterations_total", Kind.COUNTER, "Steps of the in-flight batch")
ITERATION_REQUESTS = Metric(
    "llm_iteration_requests_total",
    Kind.COUNTER,
    "Requests in the batch, summed over its steps: divided by llm_iterations_total, the mean batch",
)
RUNNING = Metric("llm_requests_running", Kind.GAUGE, "Requests being decoded")
WAITING = Metric("llm_requests_waiting", Kind.GAUGE, "Requests waiting for the batch")
KV_CACHE_USED = Metric(
    "llm_kv_cache_used_ratio", Kind.GAUGE, "Share of the KV cache in use, 0 to 1"
)

MODEL_METRICS = (
    REQUESTS,
    REQUEST_DURATION,
    STAGE_DURATION,
    BATCH_REQUESTS,
    BATCH_ROWS,
    ROWS,
    TIME_TO_FIRST_TOKEN,
    TIME_PER_OUTPUT_TOKEN,
    INTER_TOKEN,
    TOKENS,
    ITERATIONS,
    ITERATION_REQUESTS,
    RUNNING,
    WAITING,
    KV_CACHE_USED,
)
"""On the metrics page of tritonserver."""

SUPERVISOR_READY = Metric(
    "rag_supervisor_ready", Kind.GAUGE, "1 when every model answers its canary, 0 otherwise"
)
MODEL_UP = Metric("rag_supervisor_model_up", Kind.GAUGE, "1 when the model answers, 0 otherwise")
RECOVERIES = Metric(
    "rag_supervisor_recoveries_total",
    Kind.COUNTER,
    "Reloads of a model by cause: dead, stopped, stuck, failing, or caller (it waited for a model "
    "that was reloaded)",
    ("cause",),
)
CANARY_DURATION = Metric(
    "rag_supervisor_canary_duration_seconds",
    Kind.HISTOGRAM,
    "Of the supervisor's own small requests that were answered",
    bounds=DURATION_BOUNDS_S,
)
CONNECTIONS_ENDED = Metric(
    "rag_supervisor_connections_ended_total",
    Kind.COUNTER,
    "Client connections ended because a stream on them could not go on",
)

SUPERVISOR_METRICS = (
    SUPERVISOR_READY,
    MODEL_UP,
    RECOVERIES,
    CANARY_DURATION,
    CONNECTIONS_ENDED,
)
"""On the supervisor's own metrics page; the label `version` is left out there."""
