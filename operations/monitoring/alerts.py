"""Alerts that don't follow from an objective: saturation before latency, and what is down."""

from ensembles.metrics import (
    CONNECTIONS_ENDED,
    ITERATIONS,
    KV_CACHE_USED,
    MODEL_UP,
    RECOVERIES,
    REQUEST_DURATION,
    REQUESTS,
    RUNNING,
    STAGE_DURATION,
    SUPERVISOR_READY,
    WAITING,
)
from operations.monitoring.queries import Query
from operations.monitoring.rules import Alert, Case, Group, Severity, sample
from operations.monitoring.slo import groups as slo_groups
from operations.monitoring.sources import PENDING, SUPERVISOR_JOB, TRITON_JOB, UP

MAX_WAITING_REQUESTS = 256
"""Of `llm`, in builders/placements: beyond it requests are refused."""

_LLM = {"model": "llm", "version": "1"}
_RERANKER = {"model": "reranker", "version": "1"}
_WAITING = Query(WAITING, by=("model",))

SATURATION = (
    Alert(
        "LlmQueueWillOverflow",
        Severity.PAGE,
        (_WAITING.predicted("10m", 600) > MAX_WAITING_REQUESTS)
        & (_WAITING.now() > MAX_WAITING_REQUESTS / 4),
        "2m",
        "{model} will refuse requests within 10 minutes",
        f"More requests arrive than are answered: at this rate {MAX_WAITING_REQUESTS} wait within "
        "10 minutes, and more are refused with UNAVAILABLE.",
        "Add replicas or shed load now; see whether one client sends a burst or very long prompts.",
        (
            Case(
                "10 more a minute",
                (sample(WAITING, "0+10x30", **_LLM),),
                "20m",
                ({"model": "llm"},),
            ),
            Case("a steady queue", (sample(WAITING, "70+0x30", **_LLM),), "20m"),
            Case("a queue that shrinks", (sample(WAITING, "250-5x30", **_LLM),), "20m"),
        ),
    ),
    Alert(
        "LlmRequestsWait",
        Severity.TICKET,
        _WAITING.over_time("min_over_time", "5m") > 0,
        "10m",
        "The batch of {model} has been full for 15 minutes",
        "Requests have waited for a place in the batch all the time: time to first token grows "
        "with every request more.",
        "Add replicas, or raise the batch in builders/placements if KV use leaves room.",
        (
            Case("always one", (sample(WAITING, "1+0x30", **_LLM),), "20m", ({"model": "llm"},)),
            Case("now and then", (sample(WAITING, "9 0 0 " * 10, **_LLM),), "20m"),
        ),
    ),
    Alert(
        "KvCacheNearlyFull",
        Severity.TICKET,
        Query(KV_CACHE_USED, by=("model",)).over_time("avg_over_time", "5m", "max") > 0.9,
        "5m",
        "The KV cache of {model} is more than 90 % full",
        "When it is full, the youngest requests are set back and computed again: same tokens, "
        "later.",
        "Give the cache more memory, serve fewer requests at once, or bound max_tokens.",
        (
            Case("95 %", (sample(KV_CACHE_USED, "0.95+0x30", **_LLM),), "15m", ({"model": "llm"},)),
            Case("80 %", (sample(KV_CACHE_USED, "0.8+0x30", **_LLM),), "15m"),
            Case("a moment", (sample(KV_CACHE_USED, "0.5x12 1 1 0.5x12", **_LLM),), "15m"),
        ),
    ),
    Alert(
        "QueueTimeDominates",
        Severity.TICKET,
        Query(STAGE_DURATION, {"stage": "queue"}, ("model",)).sum_rate("5m")
        / Query(REQUEST_DURATION, by=("model",)).sum_rate("5m")
        > 0.5,
        "10m",
        "Requests to {model} wait longer than they are worked on",
        "More than half of the time of its requests is spent in its queue.",
        "Add replicas or instances; see 'Where the time goes' for the stage that holds it up.",
        (
            Case(
                "0.6 of 1 s",
                (
                    sample(STAGE_DURATION, "0+36x30", "_sum", stage="queue", **_LLM),
                    sample(REQUEST_DURATION, "0+60x30", "_sum", **_LLM),
                ),
                "20m",
                ({"model": "llm"},),
            ),
            Case(
                "0.1 of 1 s",
                (
                    sample(STAGE_DURATION, "0+6x30", "_sum", stage="queue", **_LLM),
                    sample(REQUEST_DURATION, "0+60x30", "_sum", **_LLM),
                ),
                "20m",
            ),
        ),
    ),
    Alert(
        "TritonQueueNeverEmpty",
        Severity.TICKET,
        Query(PENDING, by=("model",)).over_time("min_over_time", "5m") > 0,
        "10m",
        "Triton's queue in front of {model} has not been empty for 15 minutes",
        "This model is the bottleneck of its pipeline.",
        "Raise its instances or its batch in builders/placements, or add replicas.",
        (
            Case(
                "three wait",
                (sample(PENDING, "3+0x30", **_RERANKER),),
                "20m",
                ({"model": "reranker"},),
            ),
            Case("bursts", (sample(PENDING, "30 0 " * 15, **_RERANKER),), "20m"),
        ),
    ),
    Alert(
        "RequestsRefused",
        Severity.TICKET,
        Query(REQUESTS, {"outcome": "overloaded"}, ("model",)).increase("5m") > 0,
        "5m",
        "{model} refuses requests for lack of room",
        "Its queue is full: clients get UNAVAILABLE. The budget alerts page when it is many.",
        "Add replicas or shed load; clients should wait and try again.",
        (
            Case(
                "one a minute",
                (sample(REQUESTS, "0+1x30", outcome="overloaded", **_LLM),),
                "15m",
                ({"model": "llm"},),
            ),
            Case("long ago", (sample(REQUESTS, "7+0x30", outcome="overloaded", **_LLM),), "15m"),
        ),
    ),
)

_UP = Query(UP, by=("job", "instance"))
_TRITON = {"job": TRITON_JOB, "instance": "127.0.0.1:8002"}

FAULTS = (
    Alert(
        "ModelDown",
        Severity.PAGE,
        Query(MODEL_UP, by=("model",)).now("min").equals(0),
        "1m",
        "{model} does not answer",
        "The supervisor's canary requests to it fail, and reloading has not helped so far.",
        "Read build/tritonserver.log for why its process ends; restart the server if reloads fail.",
        (
            Case("down", (sample(MODEL_UP, "1 1 0x20", model="llm"),), "10m", ({"model": "llm"},)),
            Case("up", (sample(MODEL_UP, "1+0x20", model="llm"),), "10m"),
            Case("one missed canary", (sample(MODEL_UP, "1x9 0 1x9", model="llm"),), "10m"),
        ),
    ),
    Alert(
        "ModelKeepsFailing",
        Severity.TICKET,
        Query(RECOVERIES, by=("model",)).increase("30m") > 2,
        "0m",
        "{model} was reloaded 3 times or more within 30 minutes",
        "The supervisor brings it back each time; requests in between fail.",
        "Find the cause: memory (dmesg for the OOM killer), a poisonous request, the engine. The "
        "label `cause` of the metric and the supervisor's log say how it failed.",
        (
            Case(
                "every 5 minutes",
                (sample(RECOVERIES, "0 0 0x4 1x5 2x5 3x5 4x5 5x9", model="llm", cause="dead"),),
                "30m",
                ({"model": "llm"},),
            ),
            Case("once", (sample(RECOVERIES, "0x9 1x30", model="llm", cause="dead"),), "30m"),
        ),
    ),
    Alert(
        "LlmStalled",
        Severity.PAGE,
        (Query(RUNNING, by=("model",)).over_time("min_over_time", "1m") > 0)
        & Query(ITERATIONS, by=("model",)).rate("1m").equals(0),
        "1m",
        "{model} has requests and makes no tokens",
        "Its process is dead, stopped or stuck, and streams hang. Triton itself stays 'ready'.",
        "The supervisor should have reloaded it by now: see whether it runs. Without one, load the "
        "model again (POST /v2/repository/models/llm/load) or restart the server.",
        (
            Case(
                "no iteration since 5 minutes",
                (
                    sample(RUNNING, "4+0x20", **_LLM),
                    sample(ITERATIONS, "0+900x5 4500x15", **_LLM),
                ),
                "12m",
                ({"model": "llm"},),
            ),
            Case(
                "at work",
                (sample(RUNNING, "4+0x20", **_LLM), sample(ITERATIONS, "0+900x20", **_LLM)),
                "12m",
            ),
            Case(
                "idle",
                (sample(RUNNING, "0+0x20", **_LLM), sample(ITERATIONS, "50+0x20", **_LLM)),
                "12m",
            ),
        ),
    ),
    Alert(
        "StreamsEnded",
        Severity.TICKET,
        Query(CONNECTIONS_ENDED).increase("10m") > 0,
        "0m",
        "Clients' streams were ended because they could not go on",
        "A model failed under running streams; the supervisor ended them so that their clients "
        "don't hang.",
        "See ModelDown and 'Recoveries' for the model; clients have to send these requests again.",
        (
            Case("two", (sample(CONNECTIONS_ENDED, "0x9 2x9"),), "12m", ({},)),
            Case("none", (sample(CONNECTIONS_ENDED, "3x20"),), "12m"),
        ),
    ),
    Alert(
        "SupervisorNotReady",
        Severity.PAGE,
        Query(SUPERVISOR_READY).now("min").equals(0),
        "2m",
        "The supervisor says that the server can't serve",
        "At least one model has not answered its canary for 2 minutes; a load balancer that asks "
        "for readiness has taken this server out.",
        "ModelDown names the model. While a server starts or drains this is expected for moments.",
        (
            Case("not ready", (sample(SUPERVISOR_READY, "0x20"),), "10m", ({},)),
            Case("ready", (sample(SUPERVISOR_READY, "1x20"),), "10m"),
            Case("starting", (sample(SUPERVISOR_READY, "0 0 1x20"),), "10m"),
        ),
    ),
    Alert(
        "TargetDown",
        Severity.PAGE,
        _UP.now("min").equals(0),
        "1m",
        "{job} at {instance} can't be scraped",
        "Its process is gone or hangs, or the network in between is: no other alert can speak "
        "about it now.",
        "See whether the process runs and its port answers; the log says why it ended.",
        (
            Case("down", (sample(UP, "1 1 0x20", **_TRITON),), "10m", (_TRITON,)),
            Case("up", (sample(UP, "1x20", **_TRITON),), "10m"),
        ),
    ),
    *(
        Alert(
            f"{job.title()}Missing",
            Severity.PAGE,
            Query(UP, {"job": job}).absent(),
            "5m",
            f"Prometheus has no target of job {job}",
            "The scrape configuration or service discovery lost it: nothing is watched.",
            f"Compare the scrape configuration with docs/observability/prometheus.yml; a {job} "
            "that runs on purpose without this job needs this alert silenced.",
            (
                Case("no target", (), "10m", ({"job": job},)),
                Case("a target", (sample(UP, "1x20", job=job, instance="a:1"),), "10m"),
            ),
        )
        for job in (TRITON_JOB, SUPERVISOR_JOB)
    ),
)

GROUPS = (
    *slo_groups(),
    Group("saturation", alerts=SATURATION),
    Group("faults", alerts=FAULTS),
)
