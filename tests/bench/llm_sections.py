"""`llm`, streamed, against the bare engine in this process at the same concurrency."""

from pathlib import Path

from builders.repository import REPOSITORY
from builders.spec import load_sku
from operations.ports import free_ports
from operations.server import TritonServer
from tests.bench import random_llama
from tests.bench.bare_engines import BareLlm
from tests.bench.context import Context
from tests.bench.measure import Job, Load, Run
from tests.bench.results import BARE, FOLDER, OURS, Point
from tests.bench.services import Variant
from tests.load.loops import Window
from tests.load.triton_client import Triton, payload
from tests.load.workloads import prompts

GOAL_STREAMS = (1, 4, 16)
GOAL_TOKENS, CURVE_TOKENS, LARGE_TOKENS = 256, 64, 64
POOL = 256


def reference(context: Context) -> None:
    """Throughput at 1, 4 and 16 streams of 256 tokens; then first and next tokens of 64 over more
    and more streams.
    """
    _both(context, REPOSITORY, context.services.triton, GOAL_STREAMS, GOAL_TOKENS, 3.0)
    _peer(context)
    _both(context, REPOSITORY, context.services.triton, context.settings.clients, CURVE_TOKENS, 1.0,
          workload="llm-stream")  # fmt: skip


def large(context: Context) -> None:
    """With an engine that takes longer than what is around it."""
    repository, log = random_llama.repository(), FOLDER / "tritonserver-large.log"
    with TritonServer(load_sku("cpu"), free_ports(), log, repository) as server:
        triton = context.services.client(f"127.0.0.1:{server.ports.grpc}")
        _both(context, repository, triton, GOAL_STREAMS, LARGE_TOKENS, 3.0, workload="llm-large")


def _peer(context: Context) -> None:
    """llama.cpp, after the others: it would take turns with nobody at the same pace."""
    for clients in GOAL_STREAMS:
        load = Load(context.window(3.0))
        context.recorder.add([
            Job(Point(v.name, "llm", clients=clients), v, lambda: prompts(GOAL_TOKENS), load, POOL)
            for v in context.services.llama()
        ])  # fmt: skip


def _both(
    context: Context, repository: Path, triton: Triton, streams: tuple[int, ...], tokens: int,
    measure_s: float, workload: str = "llm",
) -> None:  # fmt: skip
    bare = BareLlm(repository)
    ours = Variant(OURS, lambda request: payload(request, "llm", True), triton.llm)
    try:
        for clients in streams:
            window = context.window(measure_s, rounds=2 if clients <= 16 else 0)
            job = Job(Point(OURS, workload, clients=clients), ours, lambda: prompts(tokens),
                      Load(window), POOL)  # fmt: skip
            context.recorder.add_runs([
                (Point(BARE, workload, clients=clients), _bare_run(bare, tokens, clients, window)),
                (job.point, context.recorder.prepared(job)),
            ])  # fmt: skip
    finally:
        bare.close()


def _bare_run(bare: BareLlm, tokens: int, clients: int, window: Window) -> Run:
    return lambda: bare.closed_loop(prompts(tokens), clients, window)
