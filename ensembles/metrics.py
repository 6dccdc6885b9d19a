"""Every metric that is served: what it counts, in which unit, by which labels.

Models, dashboards, alerts and documentation take names and labels from here. Names follow
Prometheus (base units, `_total` on counters) and OpenTelemetry's semantic conventions for
generative AI where those name the same thing. Histograms have fixed bounds, so that they add up
over instances, replicas and versions.
"""

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True)
class Metric:
    """A metric family. Those of models have the labels `model` and `version` besides `labels`,
    some of the supervisor's have `model`, the gateway's have no others.

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
"""For requests and their phases: from a millisecond to the longest stream, in steps 1-2-5."""

TOKEN_BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""For the time of one token: from the reference LLM on a CPU to a stalled batch."""

COUNT_BOUNDS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0)
"""For the numbers of rows and requests that share an execution."""

OUTCOMES = ("ok", "invalid", "overloaded", "cancelled", "failed")
"""How a request can end: it is served; it is wrong itself; there is no room for it; its client or
its deadline ends it; it fails through a server error."""


def _counter(name: str, what: str, *labels: str) -> Metric:
    return Metric(name, Kind.COUNTER, what, labels)


def _gauge(name: str, what: str, *labels: str) -> Metric:
    return Metric(name, Kind.GAUGE, what, labels)


def _histogram(name: str, bounds: tuple[float, ...], what: str, *labels: str) -> Metric:
    return Metric(name, Kind.HISTOGRAM, what, labels, bounds)


REQUESTS = _counter(
    "rag_requests_total",
    "Requests that ended, by outcome: ok, invalid, overloaded, cancelled or failed",
    "outcome",
)
REQUEST_DURATION = _histogram(
    "rag_request_duration_seconds",
    DURATION_BOUNDS_S,
    "Time from a request's arrival in the model to its last response",
)
STAGE_DURATION = _histogram(
    "rag_stage_duration_seconds",
    DURATION_BOUNDS_S,
    "Phases of a request inside a model: in `llm` tokenize, queue (until the batch takes it), "
    "prefill (until its first token) and decode; in a graph runner queue and each of its steps",
    "stage",
)
BATCH_REQUESTS = _histogram(
    "rag_batch_requests", COUNT_BOUNDS, "Requests that one execution of a model answered together"
)
BATCH_ROWS = _histogram("rag_batch_rows", COUNT_BOUNDS, "Rows of one compute batch of an encoder")
ROWS = _counter(
    "rag_rows_total",
    "Rows that an encoder gave, by source: computed, or cached from an equal row before",
    "source",
)
LARGE_REQUESTS = _gauge(
    "rag_large_requests", "Requests that an encoder computes in slices, between the small ones"
)
TIME_TO_FIRST_TOKEN = _histogram(
    "gen_ai_server_time_to_first_token_seconds",
    DURATION_BOUNDS_S,
    "Time from a request's arrival in `llm` to its first token",
)
TIME_PER_OUTPUT_TOKEN = _histogram(
    "gen_ai_server_time_per_output_token_seconds",
    TOKEN_BOUNDS_S,
    "Time of a request after its first token, divided by the number of tokens after it",
)
INTER_TOKEN = _histogram(
    "llm_inter_token_latency_seconds",
    TOKEN_BOUNDS_S,
    "Time between two chunks of a stream, divided by the tokens of the later one",
)
TOKENS = _counter(
    "llm_tokens_total",
    "Tokens by type: input, output, and cached (the input tokens whose keys and values were "
    "reused, where the engine tells)",
    "type",
)
ITERATIONS = _counter("llm_iterations_total", "Steps of the in-flight batch")
ITERATION_REQUESTS = _counter(
    "llm_iteration_requests_total",
    "Requests in the batch, summed over its steps; divided by llm_iterations_total it gives the "
    "mean batch size",
)
RUNNING = _gauge("llm_requests_running", "Requests being decoded")
WAITING = _gauge("llm_requests_waiting", "Requests waiting for the batch")
KV_CACHE_USED = _gauge("llm_kv_cache_used_ratio", "Share of the KV cache in use, 0 to 1")
CONTEXT = _gauge("llm_context_tokens", "Tokens that the prompt and the answer of a request share")

SUPERVISOR_READY = _gauge("rag_supervisor_ready", "1 while /readyz is 200, 0 otherwise")
MODEL_UP = _gauge("rag_supervisor_model_up", "1 when the model answers, 0 otherwise")
RECOVERIES = _counter(
    "rag_supervisor_recoveries_total",
    "Reloads of a model, or restarts of the server (model tritonserver), by cause: dead, stopped, "
    "stuck, failing or full",
    "cause",
)
CANARY_DURATION = _histogram(
    "rag_supervisor_canary_duration_seconds",
    DURATION_BOUNDS_S,
    "Duration of the supervisor's canaries (small requests of its own) that were answered",
)
CONNECTIONS_ENDED = _counter(
    "rag_supervisor_connections_ended_total",
    "Client connections that were open when the server was killed to restart it",
)

GATEWAY_REQUESTS = _counter(
    "gateway_requests_total", "HTTP requests that ended, by route and status", "route", "status"
)
GATEWAY_DURATION = _histogram(
    "gateway_request_duration_seconds",
    DURATION_BOUNDS_S,
    "Time from a request's head to the end of its response",
    "route",
)
GATEWAY_OPEN = _gauge("gateway_requests_open", "HTTP requests that are being answered")
GATEWAY_CALLS = _counter(
    "gateway_calls_total",
    "Calls of models that ended, by outcome: ok, invalid, overloaded, cancelled or failed",
    *("model", "outcome"),
)
GATEWAY_TIME_TO_FIRST_TOKEN = _histogram(
    "gateway_time_to_first_token_seconds",
    DURATION_BOUNDS_S,
    "Time from a call to its first text",
    "model",
)
GATEWAY_TOKENS = _counter(
    "gateway_tokens_total",
    "Tokens of calls by type: input, cached and output; after 100 tenants others are `other`",
    *("model", "tenant", "type"),
)
GATEWAY_WAITING = _gauge(
    "gateway_calls_waiting", "Calls in the fair queue, of kind generating or encoding", "kind"
)
GATEWAY_RUNNING = _gauge(
    "gateway_calls_running", "Calls that were let to Triton, of kind generating or encoding", "kind"
)
GATEWAY_HELD = _gauge(
    "gateway_calls_held",
    "1 while calls of that kind are held because the model has more than it can run, 0 otherwise",
    "kind",
)
GATEWAY_CACHE_LOOKUPS = _counter(
    "gateway_cache_lookups_total",
    "Answers looked up in the cache, by result: hit or miss",
    "result",
)
GATEWAY_REDACTIONS = _counter(
    "gateway_redactions_total",
    "Personal data and secrets replaced, by direction (input or output) and pattern",
    *("direction", "pattern"),
)
GATEWAY_MODELS_PAGE = _gauge(
    "gateway_models_page_up", "1 if the models' metrics are on this page too, 0 otherwise"
)
