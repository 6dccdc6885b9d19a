"""`llm`, streamed, against the bare engine in this process at the same concurrency."""

import contextlib

from tests.bench.bare_engines import BareLlm
from tests.bench.context import Context
from tests.bench.goals import GOAL_STREAMS
from tests.bench.measure import Job, Load, Run
from tests.bench.results import BARE, OURS, Point
from tests.load.loops import Window
from tests.load.workloads import prompts

THROUGHPUT_STREAMS = (1, 4, GOAL_STREAMS)
THROUGHPUT_TOKENS, CURVE_TOKENS = 128, 32
CURVE_STREAMS = 16
GOAL_REPEATS = 2
"""More, where there is a goal: of three repeats, one that the machine disturbs moves the ratio."""
POOL = 256


def measure(context: Context) -> None:
    """Throughput at a few streams of 128 tokens; then first and next tokens of 32 over more and
    more streams.
    """
    curve = tuple(count for count in context.settings.clients if count <= CURVE_STREAMS)
    with contextlib.closing(BareLlm()) as bare:
        _both(context, bare, THROUGHPUT_STREAMS, THROUGHPUT_TOKENS, "llm", context.settings.repeats)
        _peer(context)
        _both(
            context, bare, curve, CURVE_TOKENS, "llm-stream", max(1, context.settings.repeats - 1)
        )


def _peer(context: Context) -> None:
    """llama.cpp, after the others: it would take turns with nobody at the same pace."""
    for clients in THROUGHPUT_STREAMS:
        load = Load(context.window(3.0))
        context.recorder.add([
            Job(Point(v.name, "llm", clients=clients), v, lambda: prompts(THROUGHPUT_TOKENS), load,
                POOL)
            for v in context.services.llama()
        ])  # fmt: skip


def _both(
    context: Context, bare: BareLlm, streams: tuple[int, ...], tokens: int, workload: str,
    repeats: int,
) -> None:  # fmt: skip
    (ours,) = context.services.ours("llm")
    for clients in streams:
        window = context.window(3.0, rounds=2)
        job = Job(Point(OURS, workload, clients=clients), ours, lambda: prompts(tokens),
                  Load(window), POOL)  # fmt: skip
        context.recorder.add_runs([
            (Point(BARE, workload, clients=clients), _bare_run(bare, tokens, clients, window)),
            (job.point, context.recorder.prepared(job)),
        ], repeats + (GOAL_REPEATS if clients == GOAL_STREAMS else 0))  # fmt: skip


def _bare_run(bare: BareLlm, tokens: int, clients: int, window: Window) -> Run:
    return lambda: bare.closed_loop(prompts(tokens), clients, window)
