"""Panels of what causes it: the LLM, the encoders, and the supervisor's view of all models."""

from ensembles.metrics import (
    BATCH_REQUESTS,
    BATCH_ROWS,
    CANARY_DURATION,
    CONNECTIONS_ENDED,
    INTER_TOKEN,
    ITERATION_REQUESTS,
    ITERATIONS,
    KV_CACHE_USED,
    MODEL_UP,
    RECOVERIES,
    REQUEST_DURATION,
    ROWS,
    RUNNING,
    SUPERVISOR_READY,
    TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    WAITING,
    Metric,
)
from operations.monitoring.curves import BY_MODEL, quantiles, scoped
from operations.monitoring.panels import Curve, Draw, Level, Panel, Row, Threshold, Unit
from operations.monitoring.queries import Expr, Query
from operations.monitoring.slo import TTFT_BOUND_S
from operations.monitoring.sources import COMPUTE_US, EXECUTED, PENDING, QUEUE_US

_US_PER_S = 1_000_000
_ENCODERS = ("embedder", "reranker")


def _encoders(metric: Metric) -> Query:
    return Query(metric, {"model": _ENCODERS}, BY_MODEL)


def _mean_s(time_us: Metric) -> Expr:
    return _encoders(time_us).rate() / _US_PER_S / _encoders(EXECUTED).rate()


LLM = Row(
    "LLM",
    (
        Panel(
            "Time to first token",
            "From a request's arrival in `llm` to its first token",
            Unit.SECONDS,
            quantiles(TIME_TO_FIRST_TOKEN),
            thresholds=(Threshold(TTFT_BOUND_S, Level.BAD),),
        ),
        Panel(
            "Inter-token latency",
            "Between two chunks of a stream, by the later one's tokens: what a reader feels",
            Unit.SECONDS,
            quantiles(INTER_TOKEN),
        ),
        Panel(
            "Time per output token",
            "Of whole requests: the time behind the first token by the tokens behind it",
            Unit.SECONDS,
            quantiles(TIME_PER_OUTPUT_TOKEN),
        ),
        Panel(
            "Request duration",
            "Of `llm`, from arrival to the last response",
            Unit.SECONDS,
            quantiles(REQUEST_DURATION, model="llm"),
        ),
        Panel(
            "Tokens",
            "In, out, and cached: input whose keys and values were reused",
            Unit.TOKENS_PER_S,
            (Curve("{type}", scoped(TOKENS, ("type",)).rate()),),
        ),
        Panel(
            "Running and waiting",
            "Requests being decoded, and waiting for a place in the batch",
            Unit.COUNT,
            (
                Curve("running", scoped(RUNNING).now()),
                Curve("waiting", scoped(WAITING).now()),
            ),
        ),
        Panel(
            "Mean batch",
            "Requests in the batch, averaged over its iterations",
            Unit.COUNT,
            (Curve("requests", scoped(ITERATION_REQUESTS).rate() / scoped(ITERATIONS).rate()),),
        ),
        Panel(
            "KV cache in use",
            "When it is full, requests are set back and computed again",
            Unit.SHARE,
            (Curve("used", scoped(KV_CACHE_USED).now("max")),),
            thresholds=(Threshold(0.9, Level.WARNING),),
        ),
        Panel(
            "Prefix hits",
            "Share of input tokens whose keys and values were reused, where the engine tells",
            Unit.SHARE,
            (
                Curve(
                    "cached",
                    scoped(TOKENS, type="cached").rate() / scoped(TOKENS, type="input").rate(),
                ),
            ),
        ),
    ),
)

ENCODERS = Row(
    "Encoders",
    (
        Panel(
            "Rows of a compute batch",
            "Mean; 1 means that nothing is batched",
            Unit.COUNT,
            (Curve("{model}", _encoders(BATCH_ROWS).mean()),),
            width=6,
        ),
        Panel(
            "Rows not computed again",
            "Share of the rows of all encoders that were known from an earlier request",
            Unit.SHARE,
            (
                Curve(
                    "cached",
                    scoped(ROWS, source="cached").rate() / scoped(ROWS).rate(),
                ),
            ),
            width=6,
        ),
        Panel(
            "Requests of an execution",
            "Mean number of requests that a model answers together",
            Unit.COUNT,
            (Curve("{model}", _encoders(BATCH_REQUESTS).mean()),),
            width=6,
        ),
        Panel(
            "Queue and compute",
            "Mean of a request: its time in Triton's scheduler, and in the model",
            Unit.SECONDS,
            (
                Curve("{model} queue", _mean_s(QUEUE_US)),
                Curve("{model} compute", _mean_s(COMPUTE_US)),
            ),
            width=6,
        ),
        Panel(
            "Waiting in Triton",
            "Requests in the queue in front of each model",
            Unit.COUNT,
            (Curve("{model}", _encoders(PENDING).now()),),
            width=6,
        ),
    ),
)

SUPERVISOR = Row(
    "Supervisor",
    (
        Panel(
            "Ready",
            "1 when every model answers its canary",
            Unit.COUNT,
            (Curve("ready", Query(SUPERVISOR_READY).now("min")),),
            Draw.NUMBER,
            (Threshold(0, Level.BAD), Threshold(1, Level.GOOD)),
            4,
        ),
        Panel(
            "Streams ended",
            "Client connections that were ended within 5 minutes because a stream was stuck",
            Unit.COUNT,
            (Curve("ended", Query(CONNECTIONS_ENDED).increase("5m")),),
            Draw.NUMBER,
            (Threshold(0, Level.GOOD), Threshold(1, Level.WARNING)),
            4,
        ),
        Panel(
            "Models up",
            "1 where the last canary was answered",
            Unit.COUNT,
            (Curve("{model}", scoped(MODEL_UP, BY_MODEL).now("min")),),
            width=5,
        ),
        Panel(
            "Recoveries",
            "Reloads within 5 minutes, by model and cause",
            Unit.COUNT,
            (Curve("{model} {cause}", scoped(RECOVERIES, ("model", "cause")).increase("5m")),),
            width=5,
        ),
        Panel(
            "Canaries, p95",
            "How long the supervisor's own requests take",
            Unit.SECONDS,
            (Curve("{model}", scoped(CANARY_DURATION, BY_MODEL).quantile(0.95)),),
            width=6,
        ),
    ),
)
