"""The load of a soak: every entry and the gateway, faulty requests, clients that go away."""

import asyncio
import queue
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from operations.ports import Ports
from operations.triton_api import TritonApi
from tests.chaos import requests
from tests.chaos.oracle import Oracle
from tests.chaos.requests import Request
from tests.chaos.traffic import End, Line, Outcome
from tests.load.loops import Window, closed_loop
from tests.soak import collection
from tests.soak.gateway_calls import chat, faulty_calls
from tests.soak.gateway_line import GatewayLine

LONGEST_REQUEST_S = 60.0
RELOADED = ("tokenizer", "source_ranker", "reranker")
"""Models that are loaded again now and then; their processes begin anew with it."""
CANCELLED_AFTER_PIECES = 3
REQUESTS_OF_A_CONNECTION = 20


@dataclass(frozen=True)
class Planned:
    """A request, and how it must end; one that must be cancelled cancels itself."""

    request: Request
    end: End


def healthy_requests(numbers: Sequence[int]) -> Iterator[Request]:
    """Requests that a healthy server answers."""
    for number in numbers:
        yield from requests.one_of_each(number)
        yield requests.rag(number, stream=False)
        yield requests.llm(requests.prompt(number), 200)
        yield requests.llm(requests.prompt(number), 40, stream=False)
        yield collection.search(number)
        yield collection.search(number, "answer")
        yield collection.search_all(number)


def faulty() -> tuple[Request, ...]:
    """Requests that must be refused."""
    return (
        requests.llm("", 8),
        Request("embed", (requests.text("input_text", b"\xff\xfe"),)),
        Request("rerank", (requests.text("query", ""), requests.text("passages", "a"))),
        Request("llm", (requests.text("text_input", "a"), requests.number("max_tokens", -1))),
        *collection.faulty(),
        *faulty_calls(),
    )


class Lines:
    """A connection to Triton, and one to the gateway."""

    def __init__(self, address: str, url: str) -> None:
        self.carried = 0
        self._triton, self._gateway = Line(address), GatewayLine(url)

    def send(self, planned: Planned) -> Outcome:
        self.carried += 1
        line = self._gateway if planned.request.model.startswith("/") else self._triton
        on_piece = _cancel_after(CANCELLED_AFTER_PIECES) if planned.end == "cancelled" else None
        return line.send(planned.request, LONGEST_REQUEST_S, on_piece)

    def close(self) -> None:
        self._triton.__exit__()
        self._gateway.__exit__()


class MixedLoad:
    """`await load.run(duration_s)` keeps `clients` requests in flight.

    `counts` says how requests ended; `faults` names each end that must not be.
    """

    def __init__(
        self,
        address: str,
        url: str,
        to_send: Sequence[Request],
        oracle: Oracle,
        clients: int,
        pause_s: float,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self._address, self._url, self._to_send, self._oracle = address, url, to_send, oracle
        self._clients, self._pause_s = clients, pause_s
        self._threads = ThreadPoolExecutor(clients)
        self._idle: queue.SimpleQueue[Lines] = queue.SimpleQueue()

    async def run(self, duration_s: float) -> None:
        window = Window(duration_s, most_s=duration_s)
        timeout_s = 2 * LONGEST_REQUEST_S
        await closed_loop(self._send, self._planned(), self._clients, window, timeout_s)
        while not self._idle.empty():
            self._idle.get().close()

    def _planned(self) -> Iterator[Planned]:
        chance = random.Random(0)
        while True:
            kind = chance.random()
            if kind < 0.04:
                yield Planned(chance.choice(faulty()), "error")
            elif kind < 0.10:
                prompt = requests.prompt(chance.randrange(10**6))
                long = chance.choice((requests.llm(prompt, 1000), chat(prompt, 1000, stream=True)))
                yield Planned(long, "cancelled")
            else:
                yield Planned(chance.choice(self._to_send), "answer")

    async def _send(self, planned: Planned) -> AsyncIterator[float]:
        loop = asyncio.get_running_loop()
        outcome = await loop.run_in_executor(self._threads, self._exchange, planned)
        self._judge(outcome, planned.end)
        await asyncio.sleep(self._pause_s)
        yield 1.0

    def _exchange(self, planned: Planned) -> Outcome:
        """On an idle connection; now and then on a new one, as clients come and go."""
        try:
            lines = self._idle.get_nowait()
        except queue.Empty:
            lines = Lines(self._address, self._url)
        outcome = lines.send(planned)
        if lines.carried < REQUESTS_OF_A_CONNECTION:
            self._idle.put(lines)
        else:
            lines.close()
        return outcome

    def _judge(self, outcome: Outcome, end: End) -> None:
        self.counts[outcome.end] += 1
        if end == "cancelled" and outcome.end == "answer":
            return  # all of it was on its way before the client cancelled
        if outcome.end != end:
            self.counts["unexpected"] += 1
            self.faults.append(
                f"{outcome.request.model}: {outcome.end} ({outcome.error}), not {end}"
            )
        if end == "answer":
            self.faults += self._oracle.faults([outcome])


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
