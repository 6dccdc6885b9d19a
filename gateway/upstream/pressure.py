"""Holds requests back while `llm` has waiting requests, and adapts admission to its device.

A gateway limits its own requests. But others use the same model: other gateways, clients of Triton,
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
"""Pause between two looks while requests run: a page of metrics takes tritonserver milliseconds."""

MOST_WAITING = 4
"""Most waiting requests that are normal: they may just wait for the model's next step."""

BESIDE_ON_CPU = 3
"""Most generations of one tenant beside another tenant's if `llm` computes on CPU cores: each one
makes every step longer, and the other's first token later. On a GPU it only costs throughput."""

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
        except Exception as error:  # otherwise nothing would look again, and calls would stay held
            LOG.error("the pressure on `llm` is not known: %s", described(error))
        admission.hold(is_held)


async def _beside(triton: Connection) -> int | None:
    """The value for `Admission.beside` by the device of `llm`; None while that is not there yet."""
    try:
        config = await triton.json("GET", f"/v2/models/{LLM.name}/config")
    except GatewayError:
        return None
    return BESIDE_ON_CPU if _THREADS in config.get("parameters", {}) else 0


def waiting_requests(page: bytes) -> float:
    """The number of waiting requests of `llm` on a page of metrics; 0 if it is not there."""
    return sum(float(value) for value in _WAITING.findall(page))
