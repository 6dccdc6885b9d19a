"""Where the time until the first token of `rag_cancellable` goes, by the server's own metrics."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial

from prometheus_client.samples import Sample

from ensembles.metrics import STAGE_DURATION
from ensembles.rag import RAG_CANCELLABLE
from tests.bench.bench_workloads import RAG_DOCUMENTS, workload_of
from tests.bench.context import Context
from tests.bench.measure import Job, Load
from tests.bench.results import CANCELLABLE, STREAMED, Fact, Point
from tests.bench.services import Variant, question
from tests.load.triton_client import payload
from tests.load.workloads import Request

CLIENTS = (1, 8)
GRAPH, LLM = "rag_cancellable", "llm"
PARTS = (
    (GRAPH, "queue"),
    *dict.fromkeys((GRAPH, step.model.name) for step in RAG_CANCELLABLE.steps[:-1]),
    *((LLM, phase) for phase in ("tokenize", "queue", "prefill")),
)
"""Models and phases until the first token."""

Sums = Mapping[tuple[str, str], float]
"""Seconds by model and phase, since the server started."""


def measure(context: Context) -> None:
    """Streams of the LLM's own words, then of answers under the spec's policy, whose first
    sentence is held until it is known to be supported.
    """
    services, workload = context.services, workload_of(context, "rag")
    for clients in CLIENTS:
        load = Load(context.window(4.0, rounds=2))
        for name, prepare in (
            (STREAMED[0], partial(question, model=GRAPH, is_streamed=True)),
            (STREAMED[1], _with_policy),
        ):
            variant = Variant(CANCELLABLE, prepare, services.triton.rag)
            point = Point(CANCELLABLE, name, clients=clients, documents=RAG_DOCUMENTS)
            before = dict(read_sums(services.api.metrics()))
            (found,) = context.recorder.add(
                [Job(point, variant, workload.requests, load, workload.pool)]
            )
            if name == STREAMED[0] and found.repeats:
                context.recorder.note(
                    *parts(before, dict(read_sums(services.api.metrics())), clients)
                )


def _with_policy(request: Request) -> bytes:
    return payload(request, GRAPH, is_streamed=True)


def read_sums(samples: Iterable[Sample]) -> Iterator[tuple[tuple[str, str], float]]:
    """Seconds in each phase of graph and LLM; the graph's phase "" holds its number of requests."""
    for sample in samples:
        model, stage = sample.labels.get("model", ""), sample.labels.get("stage", "")
        if sample.name == f"{STAGE_DURATION.name}_sum" and model in (GRAPH, LLM):
            yield (model, stage), sample.value
        if sample.name == f"{STAGE_DURATION.name}_count" and (model, stage) == (GRAPH, "queue"):
            yield (GRAPH, ""), sample.value


def parts(before: Sums, after: Sums, clients: int) -> Iterator[Fact]:
    """Milliseconds of one request: a fact for each step before the LLM and each phase in it."""
    requests = after[GRAPH, ""] - before.get((GRAPH, ""), 0.0)
    for model, phase in PARTS:
        if (model, phase) in after:
            spent_s = after[model, phase] - before.get((model, phase), 0.0)
            name = f"llm: {phase}" if model == LLM else phase
            yield Fact(f"`{name}`, {clients} clients, ms", 1000 * spent_s / requests)
