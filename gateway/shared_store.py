"""The Valkey or Redis in which several gateways share counts and answers; it may be away."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, TypeVar

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError
from valkey.asyncio import BlockingConnectionPool, Valkey
from valkey.asyncio.connection import parse_url
from valkey.exceptions import ValkeyError

LOG = logging.getLogger(__name__)

RETRY_S = 1.0
"""How long a store that failed is not asked, so that not every request waits for it."""
_CONNECTIONS = 16
LOOK_S = 1.0

T = TypeVar("T")


def _checked(url: str) -> str:
    try:
        if url:
            parse_url(url)
    except ValueError as error:
        raise PydanticCustomError(
            "store_url", "no URL of a store: {why}", {"why": str(error)}
        ) from None
    return url


StoreUrl = Annotated[str, AfterValidator(_checked)]
"""A URL, or an empty text; messages about faults don't repeat it: it may hold a password."""


async def look_for(url: str, meanwhile: str) -> None:
    """Logs a warning if the store doesn't answer."""
    store = SharedStore(url, LOOK_S, meanwhile)
    try:
        with suppress(StoreDown):
            await store.ask(store.client.ping)
    finally:
        await store.close()


class StoreDown(Exception):
    """The store does not answer, or answers with an error."""


class SharedStore:
    """The store at `url`: valkey://, valkeys://, redis:// or rediss://.

    It counts as failed if it takes longer than `answer_s` to answer. Then nothing is sent to it for
    `RETRY_S`, after which one request at a time tries it.
    """

    def __init__(self, url: str, answer_s: float, meanwhile: str) -> None:
        """`meanwhile` says what the gateway does without the store, for the log."""
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=answer_s,
            socket_timeout=answer_s,
            socket_connect_timeout=answer_s,
        )
        self.client = Valkey.from_pool(pool)
        self._meanwhile = meanwhile
        self._is_down = False
        self._left_alone_until_s = 0.0

    async def ask(self, send: Callable[[], Awaitable[T]]) -> T:
        """What the store answers; raises StoreDown."""
        now_s = asyncio.get_running_loop().time
        if now_s() < self._left_alone_until_s:
            raise StoreDown("left alone")
        if self._is_down:
            self._left_alone_until_s = math.inf
        try:
            answer = await send()
            self._is_down = False
            return answer
        except (ValkeyError, OSError, TimeoutError) as error:
            self._is_down, name = True, type(error).__name__
            LOG.warning("the shared store fails (%s); for %g s %s", name, RETRY_S, self._meanwhile)
            raise StoreDown(name) from error
        finally:
            self._left_alone_until_s = now_s() + RETRY_S if self._is_down else 0.0

    async def close(self) -> None:
        await self.client.aclose()
