"""What `make bench` measures, section by section; each can be run alone."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from tests.bench import checks, first_token, llm_sections
from tests.bench.bench_workloads import (
    RAG_DOCUMENTS,
    BenchWorkload,
    rag_workload,
    same_questions,
    workload_of,
)
from tests.bench.context import Context
from tests.bench.goals import PEER_SHARE
from tests.bench.measure import Job, Load
from tests.bench.peer_process import LAYOUTS, PEERS
from tests.bench.results import OURS, Measured, Point, pick, read
from tests.bench.services import Variant
from tests.load.arrivals import bursts, poisson
from tests.load.loops import Window
from tests.load.workloads import saturating_embeds, saturating_reranks

GOAL_CLIENTS = 8
BURST = 16
SHARES = {"embed": (0.5, PEER_SHARE, 0.9), "rerank": (0.5, PEER_SHARE, 0.9), "rag": (PEER_SHARE,)}
"""Shares of capacity, in the open loop; few for what takes long."""


@dataclass(frozen=True)
class Section:
    """A section: its name, what it is, how it is measured, and about how long that takes."""

    name: str
    title: str
    measure: Callable[[Context], None]
    about_s: int
    quick_s: int
    is_default: bool = True


def saturation(context: Context) -> None:
    """Full batches from 4 clients: every variant at its limit.

    A few large requests are under way, so that in short runs a ratio hangs on where they end: these
    are long, and those that have a goal run twice in each turn.
    """
    services = context.services
    for name, requests in (("embed", saturating_embeds), ("rerank", saturating_reranks)):
        load = Load(context.window(6.0))
        bare, *library = services.in_process(name)
        ours = services.ours(name)
        variants = [bare, *ours, *library, *services.peers(name), bare, *ours]
        jobs = [Job(Point(v.name, name, clients=4), v, requests, load, 64) for v in variants]
        context.recorder.add(jobs, _fewer(context))


def _fewer(context: Context, by: int = 1) -> int:
    """Repeats of what has no goal, or is measured in other ways too."""
    return max(1, context.settings.repeats - by)


def curve(name: str) -> Callable[[Context], None]:
    """Throughput and latency over the number of clients."""

    def measure(context: Context) -> None:
        workload = workload_of(context, name)
        for clients in (n for n in context.settings.clients if n <= workload.most_clients):
            repeats = context.settings.repeats if clients == GOAL_CLIENTS else _fewer(context)
            count = RAG_DOCUMENTS if name == "rag" else 0
            _side_by_side(context, workload, clients, count, repeats)

    return measure


def _side_by_side(
    context: Context, workload: BenchWorkload, clients: int, documents: int, repeats: int
) -> None:
    """Ours at every number of clients, the peers at some."""
    services, settings = context.services, context.settings
    variants = services.ours(workload.name)
    if clients == 1 or (clients == GOAL_CLIENTS and workload.name == "rag"):
        variants += services.in_process(workload.name)
    if clients in settings.peer_clients and clients <= workload.most_peer_clients:
        variants += services.peers(workload.name)
    load = Load(context.window(workload.measure_s, workload.rounds if clients <= 8 else 0))
    jobs = [
        Job(Point(v.name, workload.name, clients=clients, documents=documents), v,
            workload.requests, load, workload.pool)
        for v in variants
    ]  # fmt: skip
    context.recorder.add(jobs, repeats)


def collection(context: Context) -> None:
    """`rag` over the whole sample collection, 8 at a time."""
    count = len(checks.passages(context.services.url))
    _side_by_side(context, rag_workload(context, count), GOAL_CLIENTS, count, _fewer(context, 2))


def same_documents(context: Context) -> None:
    """`rag` over the whole sample collection, the same in every request, 8 at a time."""
    count = len(checks.passages(context.services.url))
    _side_by_side(context, same_questions(context), GOAL_CLIENTS, count, _fewer(context, 2))


def documents(context: Context) -> None:
    """`rag` over more and more documents, one request at a time."""
    services = context.services
    for count in context.settings.documents:
        workload = rag_workload(context, count)
        load = Load(context.window(1.5, rounds=2))
        variants = [*services.ours("rag"), *services.peers("rag")]
        jobs = [
            Job(Point(v.name, "rag", clients=1, documents=count), v, workload.requests, load,
                workload.pool)
            for v in variants
        ]  # fmt: skip
        context.recorder.add(jobs, _fewer(context, 2))


def open_loop(context: Context) -> None:
    """Requests that come by themselves, at shares of what each variant can do."""
    for name, shares in SHARES.items():
        workload = workload_of(context, name)
        repeats = _fewer(context, by=1 if len(shares) > 1 else 2)
        ours, others = context.services.ours(name), context.services.peers(name)
        capacity = {v.name: _capacity(context, workload, v) for v in (*ours, *others)}
        job = partial(_open_job, context, workload)
        for share in shares:
            variants = [*ours, *others] if share == PEER_SHARE else ours[:1]
            jobs = [job(v, "open", share * capacity[v.name], capacity[v.name]) for v in variants]
            if share == PEER_SHARE and others:  # ours under the fastest peer's arrivals too
                fastest = max(capacity[v.name] for v in others)
                jobs.append(job(ours[0], "open", share * fastest, capacity[OURS]))
            context.recorder.add(jobs, repeats)
        burst = job(ours[0], "burst", PEER_SHARE * capacity[OURS], capacity[OURS])
        context.recorder.add([burst], repeats)


def _open_job(
    context: Context, workload: BenchWorkload, variant: Variant, kind: str, rate: float,
    capacity_per_s: float,
) -> Job:  # fmt: skip
    lasts_s = workload.open_s * context.settings.pace
    times = poisson(rate, lasts_s, 1) if kind == "open" else bursts(rate, BURST, lasts_s, 1)
    share = round(rate / capacity_per_s, 2)
    point = Point(variant.name, workload.name, kind, share=share, rate_per_s=rate)
    return Job(point, variant, workload.requests, Load(Window(lasts_s), tuple(times or [0.0])),
               workload.pool)  # fmt: skip


def _capacity(context: Context, workload: BenchWorkload, variant: Variant) -> float:
    """Requests a second of the closed loop: as measured from this commit, else measured now."""
    section = read().section(workload.name)
    if section and section.commit == context.recorder.section.commit:
        found = pick(section.measured, variant=variant.name)
    else:
        point = Point(variant.name, workload.name, clients=16)
        job = Job(point, variant, workload.requests, Load(context.window(2.0)), workload.pool)
        found = context.recorder.add([job], 1)
    return max((_requests_per_s(one) for one in found), default=0.0) or 1.0


def _requests_per_s(one: Measured) -> float:
    return max((repeat.summary.requests_per_s for repeat in one.repeats), default=0.0)


def layouts(context: Context) -> None:
    """Every peer with one process of two threads and with two of one: which one it shall run in."""
    for name in PEERS:
        for layout in LAYOUTS:
            services = context.services
            services.stop_peer(name)
            services.layouts[name] = layout
            for workload_name, clients in (("embed", 32), ("rerank", 8), ("rag", 8)):
                workload = workload_of(context, workload_name)
                variant = services.peer(name, workload_name)
                if variant is None:
                    continue
                label = f"{name}, {layout.workers} × {layout.threads} threads"
                point = Point(label, workload_name, clients=clients)
                load = Load(context.window(workload.measure_s, rounds=2))
                job = Job(point, variant, workload.requests, load, workload.pool)
                context.recorder.add([job], 2)
        context.services.stop_peer(name)
        context.services.layouts[name] = PEERS[name]


SECTIONS = (
    Section("checks", "Equality", checks.measure, 160, 120),
    Section("saturation", "Encoders at saturation", saturation, 360, 160),
    Section("llm", "`llm` against its engine", llm_sections.measure, 340, 90),
    Section("embed", "`embed`", curve("embed"), 140, 30),
    Section("rerank", "`rerank`", curve("rerank"), 280, 40),
    Section("rag", "`rag`", curve("rag"), 360, 120),
    Section("collection", "`rag` over the sample collection", collection, 120, 120),
    Section("same-documents", "`rag` over the same documents again", same_documents, 110, 110),
    Section("documents", "`rag` over more and more documents", documents, 210, 60),
    Section("open", "Open loop", open_loop, 560, 200),
    Section("first-token", "The first token of `rag`", first_token.measure, 80, 30),
    Section("resources", "Start-up and memory", checks.resources, 60, 20),
    Section("layouts", "Layouts of the peers", layouts, 300, 200, is_default=False),
)
