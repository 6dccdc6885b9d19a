"""Shared counts, and counts of this gateway alone while the store of the shared ones is away."""

import asyncio
import logging
import math
from dataclasses import replace

from gateway.access.counts import MemoryCounts, Need, Taken
from gateway.access.tiers import Limits
from gateway.access.valkey_counts import STORE_ERRORS, ValkeyCounts

_LOG = logging.getLogger(__name__)

RETRY_S = 1.0
"""How long a store that failed is left alone, so that not every request waits for it."""


class FallbackCounts:
    """While the store is away each gateway holds the limits alone, and refuses no request for it.

    What was taken alone has a tick below 0, so that its correction goes to the same counts.
    """

    def __init__(self, shared: ValkeyCounts) -> None:
        self._shared = shared
        self._alone = MemoryCounts()
        self._streams_alone: set[str] = set()
        self._is_away = False
        self._left_alone_until_s = 0.0

    async def take(self, key_id: str, limits: Limits, need: Need) -> Taken:
        if (taken := await self._take_shared(key_id, limits, need)) is not None:
            return taken
        taken = await self._alone.take(key_id, limits, need)
        if need.stream and not taken.refused:
            self._streams_alone.add(need.stream)
        return replace(taken, tick=-1 - taken.tick)

    async def _take_shared(self, key_id: str, limits: Limits, need: Need) -> Taken | None:
        """None while the store is away. Then one request at a time asks it and may wait for it."""
        now_s = asyncio.get_running_loop().time()
        if now_s < self._left_alone_until_s:
            return None
        if self._is_away:
            self._left_alone_until_s = math.inf
        try:
            taken = await self._shared.take(key_id, limits, need)
        except STORE_ERRORS as error:
            self._is_away = True
            _LOG.warning(
                "the store of the limits does not answer (%s); for %g s limits hold for this"
                " gateway alone",
                type(error).__name__,
                RETRY_S,
            )
            return None
        else:
            self._is_away = False
            return taken
        finally:
            now_s = asyncio.get_running_loop().time()
            self._left_alone_until_s = now_s + RETRY_S if self._is_away else 0.0

    def correct(self, key_id: str, tick: int, tokens: int) -> None:
        if tick < 0:
            self._alone.correct(key_id, -1 - tick, tokens)
        else:
            self._shared.correct(key_id, tick, tokens)

    def release(self, key_id: str, stream: str) -> None:
        if stream in self._streams_alone:
            self._streams_alone.discard(stream)
            self._alone.release(key_id, stream)
        else:
            self._shared.release(key_id, stream)

    async def close(self) -> None:
        await self._shared.close()
