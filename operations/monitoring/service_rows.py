"""Panels of what users feel: the objectives, where the time goes, errors."""

from ensembles.metrics import (
    REQUEST_DURATION,
    REQUESTS,
    RUNNING,
    STAGE_DURATION,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    WAITING,
)
from operations.monitoring.curves import BY_MODEL, quantiles, scoped
from operations.monitoring.panels import Curve, Draw, Level, Panel, Row, Threshold, Unit
from operations.monitoring.queries import Expr, Query
from operations.monitoring.slo import FAST, SLOS, TTFT_BOUND_S

_SERVED = ("ok", "failed", "overloaded")
_RUNNER = "rag_cancellable"


def _served_share() -> Expr:
    good = scoped(REQUESTS, outcome="ok").rate()
    return good / scoped(REQUESTS, outcome=_SERVED).rate()


_SERVED_LEVELS = (
    Threshold(0, Level.BAD),
    Threshold(0.99, Level.WARNING),
    Threshold(0.999, Level.GOOD),
)
_FIRST_TOKENS = scoped(TIME_TO_FIRST_TOKEN)

OVERVIEW = Row(
    "Overview",
    (
        Panel(
            "Served",
            "Requests answered, of those that were valid and not given up by their client",
            Unit.SHARE,
            (Curve("served", _served_share()),),
            Draw.NUMBER,
            _SERVED_LEVELS,
            4,
        ),
        Panel(
            f"First token within {TTFT_BOUND_S:g} s",
            "Share of requests to `llm`; the objective is 99 %",
            Unit.SHARE,
            (Curve("in time", _FIRST_TOKENS.within(TTFT_BOUND_S) / _FIRST_TOKENS.count_rate()),),
            Draw.NUMBER,
            (
                Threshold(0, Level.BAD),
                Threshold(0.95, Level.WARNING),
                Threshold(0.99, Level.GOOD),
            ),
            4,
        ),
        Panel(
            "Time to first token, p95",
            "Of `llm`, estimated from the histogram's buckets",
            Unit.SECONDS,
            (Curve("p95", _FIRST_TOKENS.quantile(0.95)),),
            Draw.NUMBER,
            (Threshold(0, Level.GOOD), Threshold(TTFT_BOUND_S, Level.BAD)),
            4,
        ),
        Panel(
            "Tokens out",
            "Tokens that `llm` sent, per second",
            Unit.TOKENS_PER_S,
            (Curve("output", scoped(TOKENS, type="output").rate()),),
            Draw.NUMBER,
            width=4,
        ),
        Panel(
            "Running",
            "Requests that are being decoded",
            Unit.COUNT,
            (Curve("running", scoped(RUNNING).now()),),
            Draw.NUMBER,
            width=4,
        ),
        Panel(
            "Waiting",
            "Requests that wait for a place in the batch",
            Unit.COUNT,
            (Curve("waiting", scoped(WAITING).now()),),
            Draw.NUMBER,
            (Threshold(0, Level.GOOD), Threshold(1, Level.WARNING), Threshold(64, Level.BAD)),
            4,
        ),
        Panel(
            "Requests",
            "Requests that ended, by model; a request to a graph counts in each of its steps too",
            Unit.REQUESTS_PER_S,
            (Curve("{model}", scoped(REQUESTS, BY_MODEL).rate()),),
            width=12,
        ),
        Panel(
            "Error budget burn",
            "How many times as fast as allowed the budget of 30 days is used up, over the last "
            f"hour. 1 uses it up exactly; beyond {FAST[0].times:g} somebody is paged",
            Unit.TIMES,
            tuple(
                Curve(f"{slo.name} {{model}}", slo.recording("1h").read() / slo.budget)
                for slo in SLOS
            ),
            thresholds=(Threshold(1, Level.WARNING), Threshold(FAST[0].times, Level.BAD)),
            width=12,
        ),
    ),
)


def _stages(model: str) -> tuple[Curve, ...]:
    stages = Query(STAGE_DURATION, {"model": model}, ("stage",)).sum_rate()
    return (Curve("{stage}", stages.per(Query(REQUEST_DURATION, {"model": model}).count_rate())),)


STAGES = Row(
    "Stages",
    (
        Panel(
            f"Where the time of `{_RUNNER}` goes",
            "Seconds of a mean request in each step of its graph, stacked to its whole",
            Unit.SECONDS,
            _stages(_RUNNER),
            Draw.STACKED,
            width=12,
        ),
        Panel(
            "Where the time of `llm` goes",
            "Seconds of a mean request in its queue, tokenizer, prefill and decode, stacked",
            Unit.SECONDS,
            _stages("llm"),
            Draw.STACKED,
            width=12,
        ),
        Panel(
            f"Request duration of `{_RUNNER}`",
            "From a question's arrival to the last piece of its answer",
            Unit.SECONDS,
            quantiles(REQUEST_DURATION, model=_RUNNER),
        ),
        Panel(
            "Request duration of each model, p95",
            "By each model's own clock, from a request's arrival to its last response",
            Unit.SECONDS,
            (Curve("{model}", scoped(REQUEST_DURATION, BY_MODEL).quantile(0.95)),),
        ),
        Panel(
            "Share of time in queues",
            "Of the time of requests, by model: beyond one half they wait longer than they are "
            "worked on",
            Unit.SHARE,
            (
                Curve(
                    "{model}",
                    scoped(STAGE_DURATION, BY_MODEL, stage="queue").sum_rate()
                    / scoped(REQUEST_DURATION, BY_MODEL).sum_rate(),
                ),
            ),
            thresholds=(Threshold(0.5, Level.WARNING),),
        ),
    ),
)

ERRORS = Row(
    "Errors",
    (
        Panel(
            "Requests by outcome",
            "Of all models: ok, invalid (the client's fault), overloaded (refused for lack of "
            "room), cancelled (by client or deadline), failed (our fault)",
            Unit.REQUESTS_PER_S,
            (Curve("{outcome}", scoped(REQUESTS, ("outcome",)).rate()),),
            Draw.STACKED,
        ),
        Panel(
            "Not served, by model",
            "Failed and overloaded requests: what the availability budget pays for",
            Unit.REQUESTS_PER_S,
            (
                Curve(
                    "{model} {outcome}",
                    scoped(REQUESTS, ("model", "outcome"), outcome=("failed", "overloaded")).rate(),
                ),
            ),
        ),
        Panel(
            "Invalid and cancelled, by model",
            "Requests that clients got wrong or gave up",
            Unit.REQUESTS_PER_S,
            (
                Curve(
                    "{model} {outcome}",
                    scoped(REQUESTS, ("model", "outcome"), outcome=("invalid", "cancelled")).rate(),
                ),
            ),
        ),
    ),
)
