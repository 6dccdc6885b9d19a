"""The rows that wait for a collection's vector index, kept in memory for its searches.

If LanceDB compares these rows itself, it scans them in each search, and also reads the vectors of
all rows that the index found: a search takes 1.5 times as long, however few rows wait.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from python_backends.stores.lance_packed import PACKED, directions
from python_backends.stores.lance_table import ROW_ID, VECTOR_INDEX
from python_backends.stores.published import Published
from python_backends.tensors import Array

MOST_ROWS, MOST_COLLECTIONS = 4_000, 8
"""Most rows per collection, and most collections, that are kept. More rows would take longer to
read than LanceDB takes to compare them."""


@dataclass(frozen=True)
class Waiting:
    """Packed rows by row id, and their directions: FP32 [rows, dimension]."""

    by_id: dict[int, bytes]
    directions: Array

    def with_nearest(self, found: list[bytes], embedding: Array, count: int) -> list[bytes]:
        """The `count` nearest of what the index found and of these rows."""
        if not self.by_id:
            return found
        similarity, rows = self.directions @ embedding, list(self.by_id.values())
        own = np.argsort(-similarity)[:count]
        both = [*found, *(rows[i] for i in own)]
        known = directions(found, len(embedding)) @ embedding
        near = np.argsort(-np.concatenate([known, similarity[own]]))[:count]
        return [both[i] for i in near]


class WaitingRows:
    """Keeps the waiting rows of the collections that were searched last."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[str, int], Waiting | None]] = {}
        """For each collection its table and version, and the rows that wait there."""

    async def of(self, published: Published, table: Any) -> Waiting | None:
        """The waiting rows; None if there is no index, or if so many wait that LanceDB compares
        them."""
        wanted = published.table, published.version
        known, waiting = self._known.pop(published.name, (None, None))
        if known != wanted:
            waiting = await _read(published, table)
        self._known[published.name] = wanted, waiting
        if len(self._known) > MOST_COLLECTIONS:
            del self._known[next(iter(self._known))]
        return waiting


async def _read(published: Published, table: Any) -> Waiting | None:
    if not published.partitions:
        return None
    count = await _count(published, table)
    if count > MOST_ROWS:
        return None
    if not count:
        return Waiting({}, directions([], published.dimension))
    # New rows come last, and an update of an index takes in all of them: so these are the last.
    last = table.query().select([PACKED]).with_row_id().offset(published.passages - count)
    found = await last.limit(count).to_arrow()
    rows = found[PACKED].to_pylist()
    by_id = dict(zip(found[ROW_ID].to_pylist(), rows, strict=True))
    return Waiting(by_id, directions(rows, published.dimension))


async def _count(published: Published, table: Any) -> int:
    if not published.pending:
        return 0
    return int((await table.index_stats(VECTOR_INDEX)).num_unindexed_rows)
