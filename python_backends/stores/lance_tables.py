"""Keeps tables of LanceDB open, with caches as large as their collections need.

LanceDB keeps what a search reads, by default up to 7 GiB. It also keeps what belongs to versions
and indexes that were replaced, until it reaches its limit. So each table has limits of its own.
"""

import ctypes
import os
from contextlib import suppress
from typing import Any

from python_backends.stores.published import Published

MOST_OPEN = 32
"""Tables that stay open: those used last."""
PASSAGE_BYTES = 512
"""Size of a passage in the indexes, besides a byte per value of its embedding: mostly words."""
LEAST_BYTES = 16 << 20
METADATA_SHARE = 8
"""The cache of indexes is this many times as large as the cache of metadata."""
_MEMORY_BYTES = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_M_ARENA_MAX, _ARENAS = -8, 2  # of glibc's malloc.h; each arena keeps what is freed in it


def limit_arenas() -> None:
    """Limits glibc's memory arenas; call it before LanceDB's threads begin. For its some 50 threads
    glibc makes 8 arenas per CPU: with 12,000 passages the process held 305 MiB instead of 160."""
    with suppress(OSError, AttributeError):  # another library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def session(published: Published) -> Any:
    """The caches of a table, twice as large as it needs (`lancedb.Session`)."""
    import lancedb

    size = _limit(published)
    return lancedb.Session(size, size // METADATA_SHARE)


def _needed(published: Published) -> int:
    """Bytes of its indexes; at most a sixteenth of the memory."""
    each = published.dimension + PASSAGE_BYTES
    return min(published.passages * each, _MEMORY_BYTES // 16)


def _limit(published: Published) -> int:
    return max(LEAST_BYTES, 2 * _needed(published))


class OpenTables:
    """The tables of the collections that were used last."""

    def __init__(self) -> None:
        self._open: dict[str, tuple[str, int, Any]] = {}
        """For each collection its folder's name, the limit of its cache, and its table."""

    def of(self, published: Published) -> Any:
        """The open table of a collection; None if it is not open, was deleted and made again, or
        has become too large for its caches."""
        folder, limit, table = self._open.pop(published.name, ("", 0, None))
        if folder != published.table or _needed(published) > limit:
            return None
        self._open[published.name] = folder, limit, table
        return table

    def keep(self, published: Published, table: Any) -> None:
        self._open[published.name] = published.table, _limit(published), table
        if len(self._open) > MOST_OPEN:
            del self._open[next(iter(self._open))]
