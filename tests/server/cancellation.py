"""What ends a generation early, told by the metrics of `llm`."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from ensembles.metrics import ITERATIONS, REQUESTS
from operations import model_processes
from tests.server.conftest import Server, is_idle_on, metrics_page, seen

RUN_S, STAND_S = 0.005, 0.045


@contextlib.contextmanager
def stopped_early(server: Server, tokens: int) -> Iterator[None]:
    """The block cancels one generation of `tokens` tokens: `llm` counts it as cancelled, and its
    engine has made fewer steps when it is idle again. How many fewer depends on the machine."""
    with cancelled(server, 1):
        steps = metrics_page(server).total(ITERATIONS.name)
        yield
    assert metrics_page(server).total(ITERATIONS.name) - steps < tokens


@contextlib.contextmanager
def cancelled(server: Server, generations: int) -> Iterator[None]:
    """The block cancels so many generations: `llm` counts them, and is idle again.

    `llm` is slowed until then. Else the LLM of the tests makes all its tokens before it hears, on a
    busy machine, that its client has left.
    """
    outcome = {"model": "llm", "outcome": "cancelled"}
    before = seen(lambda: metrics_page(server), is_idle_on).total(REQUESTS.name, **outcome)
    with slowed(server, "llm"):
        yield
        seen(
            lambda: metrics_page(server),
            lambda page: (
                is_idle_on(page) and page.total(REQUESTS.name, **outcome) - before >= generations
            ),
        )


@contextlib.contextmanager
def slowed(server: Server, model: str) -> Iterator[None]:
    """The processes of a model run for a tenth of the time until the block ends."""
    pids, done = process_ids(server, model), threading.Event()

    def take_turns() -> None:
        while not done.wait(RUN_S):
            with standing(pids):
                done.wait(STAND_S)

    with ThreadPoolExecutor(1) as threads:
        turns = threads.submit(take_turns)
        try:
            yield
        finally:
            done.set()
            turns.result()


@contextlib.contextmanager
def standing_still(server: Server, model: str) -> Iterator[None]:
    """The processes of a model are stopped (SIGSTOP) until the block ends: what is sent meanwhile
    waits for it, however slow the machine is."""
    with standing(process_ids(server, model)):
        yield


def process_ids(server: Server, model: str) -> list[int]:
    pids = [one.pid for one in model_processes.find(server.pid).living if one.model == model]
    assert pids, f"{model} has no process"
    return pids


@contextlib.contextmanager
def standing(pids: list[int]) -> Iterator[None]:
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
