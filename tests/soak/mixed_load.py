"""The mix of a soak: every entry, streamed and not, faulty requests, clients that go away."""

import random
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from operations.ports import Ports
from operations.supervisor.triton_api import TritonApi
from tests.chaos import requests
from tests.chaos.oracle import Oracle
from tests.chaos.requests import Ask
from tests.chaos.serving import grpc_address
from tests.chaos.traffic import Line, Outcome

BOUND_S = 60.0
RELOADED = ("tokenizer", "source_ranker", "reranker")
"""Models that are loaded again now and then; their processes begin anew with it."""
CANCELLED_AFTER_PIECES = 3


def mix(numbers: Sequence[int]) -> Iterator[Ask]:
    """Requests that a healthy server answers."""
    for number in numbers:
        yield from requests.one_of_each(number)
        yield requests.rag(number, stream=False)
        yield requests.llm(requests.prompt(number), 200)
        yield requests.llm(requests.prompt(number), 40, stream=False)


def faulty() -> tuple[Ask, ...]:
    """Requests that must be refused."""
    return (
        requests.llm("", 8),
        Ask("embed", (requests.text("input_text", b"\xff\xfe"),)),
        Ask("rerank", (requests.text("query", ""), requests.text("passages", "a"))),
        Ask("llm", (requests.text("text_input", "a"), requests.number("max_tokens", -1))),
    )


class Soak:
    """`with Soak(ports, asks, oracle, workers, pause_s) as soak:` loads the server meanwhile.

    `counts` says how requests ended; `faults` names each end that must not be.
    """

    def __init__(
        self, ports: Ports, asks: Sequence[Ask], oracle: Oracle, workers: int, pause_s: float
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._address, self._asks, self._oracle = grpc_address(ports), asks, oracle
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(workers)]

    def _work(self, seed: int) -> None:
        chance = random.Random(seed)
        while not self._stop.is_set():
            with Line(self._address) as line:
                for _ in range(20):
                    self._one(line, chance)
                    if self._stop.wait(self._pause_s):
                        break

    def _one(self, line: Line, chance: random.Random) -> None:
        kind = chance.random()
        if kind < 0.04:
            self._expect(line.send(chance.choice(faulty()), BOUND_S), "error")
        elif kind < 0.10:
            ask = requests.llm(requests.prompt(chance.randrange(10**6)), 1000)
            self._expect(
                line.send(ask, BOUND_S, _cancel_after(CANCELLED_AFTER_PIECES)), "cancelled"
            )
        else:
            outcome = line.send(chance.choice(self._asks), BOUND_S)
            self._expect(outcome, "answer")
            self.faults += self._oracle.faults([outcome])

    def _expect(self, outcome: Outcome, end: str) -> None:
        self.counts[outcome.end] += 1
        if outcome.end != end:
            self.counts["unexpected"] += 1
            self.faults.append(f"{outcome.ask.model}: {outcome.end} ({outcome.error}), not {end}")

    def __enter__(self) -> "Soak":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def _cancel_after(pieces: int) -> Any:
    seen = 0

    def on_piece(call: Any, _piece: str) -> None:
        nonlocal seen
        seen += 1
        if seen == pieces:
            call.cancel()

    return on_piece


def reload(ports: Ports, model: str) -> None:
    """Load the model anew: Triton gives it another process only where something changed."""
    refusal = TritonApi(ports).reload(model, 60)
    assert not refusal, refusal
