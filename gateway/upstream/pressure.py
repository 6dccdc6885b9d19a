"""Holds requests back while `llm` has requests waiting, and fits admission to where it computes.

A gateway bounds its own requests. But others use the same model: other gateways, clients of Triton,
graphs. And a full KV cache makes running requests wait again. In `llm` requests wait in the order
of their arrival; in the gateway they wait in a fair order.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from ensembles.contracts import LLM
from ensembles.metrics import WAITING
from gateway.access.admission import Admission
from gateway.errors import GatewayError
from gateway.faults import described
from gateway.upstream.connection import Connection

LOG = logging.getLogger(__name__)

LOOK_S = 0.5
"""While something runs; a page of metrics costs tritonserver some milliseconds."""

MOST_WAITING = 4
"""So many may just wait for the next step of the model."""

BESIDE_ON_CPU = 3
"""Generations of one tenant beside another where `llm` computes on CPU cores: there each more makes
every step longer, and a neighbour's first token later. On a GPU it would cost throughput alone."""

_THREADS = "num_threads"
"""Only models that compute on CPU cores have this parameter."""

_WAITING = re.compile(
    rb"^%s\{[^}]*model=\"%s\"[^}]*\} (\S+)$" % (WAITING.name.encode(), LLM.name.encode()), re.M
)


@asynccontextmanager
async def held_under_pressure(triton: Connection, admission: Admission) -> AsyncIterator[None]:
    """Looks every `LOOK_S` until the block ends."""
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
        is_held = False
        try:
            if admission.beside is None and admission.is_shared:
                admission.beside = await _beside(triton)
            if admission.queue.running:
                is_held = waiting_requests(await triton.metrics_page()) > MOST_WAITING
        except Exception as error:  # else nothing would look again, and what is held would stay so
            LOG.error("the pressure on `llm` is not known: %s", described(error))
        admission.hold(is_held)


async def _beside(triton: Connection) -> int | None:
    """None while `llm` is not there yet."""
    try:
        config = await triton.json("GET", f"/v2/models/{LLM.name}/config")
    except GatewayError:
        return None
    return BESIDE_ON_CPU if _THREADS in config.get("parameters", {}) else 0


def waiting_requests(page: bytes) -> float:
    """What `llm` says on a page of tritonserver's metrics; 0 where it says nothing."""
    return sum(float(value) for value in _WAITING.findall(page))
