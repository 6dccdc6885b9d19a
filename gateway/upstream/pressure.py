"""Holds admission while `llm` has more requests than it can run, by its own count.

A gateway bounds what it lets in itself. But others may ask the same model: other gateways, clients
of Triton, graphs. And a KV cache that is full makes running requests wait again. What waits there
is first come, first served; what waits here is in fair order.
"""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ensembles.contracts import LLM
from ensembles.metrics import WAITING
from gateway.access.admission import Admission
from gateway.upstream.connection import Connection

LOOK_S = 0.5
"""While something runs; a page of metrics costs tritonserver some milliseconds."""

MOST_WAITING = 4
"""So many may just be between two steps of the model."""

_WAITING = re.compile(
    rb"^%s\{[^}]*model=\"%s\"[^}]*\} (\S+)$" % (WAITING.name.encode(), LLM.name.encode()), re.M
)


@asynccontextmanager
async def held_under_pressure(triton: Connection, admission: Admission) -> AsyncIterator[None]:
    """Looks again and again until the block ends."""
    looking = asyncio.create_task(_look(triton, admission))
    try:
        yield
    finally:
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking


async def _look(triton: Connection, admission: Admission) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        page = await triton.metrics_page() if admission.queue.running else b""
        admission.hold(waiting_requests(page) > MOST_WAITING)


def waiting_requests(page: bytes) -> float:
    """What `llm` says on a page of tritonserver's metrics; 0 where it says nothing."""
    return sum(float(value) for value in _WAITING.findall(page))
