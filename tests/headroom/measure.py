"""Puts load on a server with the requests of one entry and measures the SLO's percentile."""

import asyncio
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.headroom.search import Kind, Step
from tests.headroom.slo import ENTRIES, STREAMED, Slo
from tests.load.arrivals import poisson
from tests.load.loops import OnRecord, Window, closed_loop, open_loop
from tests.load.records import Record
from tests.load.summary import summarize
from tests.load.triton_client import Triton, payload
from tests.load.workloads import documents, embeds, prompts, rags, reranks

LIMITS_IN_A_STEP = 10
"""Shortest open-loop step, in limits of the SLO. A queue grows slowly: at 10 % above what a server
can do, the wait reaches the limit only after ten limits."""
SHORTEST_STEP_S, LONGEST_STEP_S = 5.0, 120.0
ANSWER_TOKENS = 64
RAG_DOCUMENTS = 10


def step_s(slo: Slo, rate_per_s: float) -> float:
    """How long an open-loop step at this rate lasts."""
    return max(SHORTEST_STEP_S, LIMITS_IN_A_STEP * slo.limit_s, slo.requests_needed / rate_per_s)


@dataclass
class Meter:
    """Measures on the server whose gRPC address is `url`."""

    url: str
    slo: Slo

    def __post_init__(self) -> None:
        self._payloads, self._seeds = _payloads(self.slo.entry), itertools.count()

    def step(self, kind: Kind, load: float, on_record: OnRecord) -> Step:
        records = asyncio.run(self._records(kind, load, on_record))
        found, measured_s = summarize(records), self.slo.measured_s(records)
        rates = found.requests, found.answered, found.requests_per_s
        return Step(kind, load, *rates, measured_s, measured_s <= self.slo.limit_s)

    async def _records(self, kind: Kind, load: float, on_record: OnRecord) -> list[Record]:
        triton = Triton(self.url)
        send = {"llm": triton.llm, "rag": triton.rag}.get(self.slo.entry, triton.unary)
        # A request that has no end after three limits has missed the SLO.
        timeout_s = 60.0 if self.slo.is_ttft else max(10.0, 3 * self.slo.limit_s)
        try:
            if kind == "clients":
                rounds = math.ceil(self.slo.requests_needed / load)
                window = Window(SHORTEST_STEP_S, rounds, LONGEST_STEP_S)
                return await closed_loop(
                    send, self._payloads, round(load), window, timeout_s, on_record
                )
            arrivals = poisson(load, step_s(self.slo, load), next(self._seeds))
            ready = iter(list(itertools.islice(self._payloads, len(arrivals))))
            return await open_loop(send, ready, arrivals, timeout_s, on_record=on_record)
        finally:
            await triton.close()


def _payloads(entry: str) -> Iterator[bytes]:
    """Requests that never repeat, so that no cache answers them."""
    requests: Iterator[Any]
    match entry:
        case "embed":
            requests = embeds()
        case "rerank":
            requests = reranks()
        case "llm":
            requests = prompts(ANSWER_TOKENS)
        case _:
            requests = rags(documents(), RAG_DOCUMENTS)
    return (payload(request, ENTRIES[entry], entry in STREAMED) for request in requests)
