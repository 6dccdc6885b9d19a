"""The rows that wait for a collection's vector index, kept in memory for its searches.

Where LanceDB compares them itself, it scans them for each search, and reads the vectors of all that
the index found as well: a search takes half as long again, however few rows wait.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from python_backends.stores.lance_packed import PACKED, directions
from python_backends.stores.lance_table import VECTOR_INDEX
from python_backends.stores.published import Published
from python_backends.tensors import Array

MOST_ROWS, MOST_COLLECTIONS = 4_000, 8
"""What is kept: more rows than these take longer to read than to compare."""


@dataclass(frozen=True)
class Waiting:
    """Packed rows, and their directions: FP32 [rows, dimension]."""

    rows: list[bytes]
    directions: Array

    def with_nearest(self, found: list[bytes], embedding: Array, count: int) -> list[bytes]:
        """The `count` nearest of what the index found and of these rows."""
        similarity = self.directions @ embedding
        own = np.argsort(-similarity)[:count]
        both = [*found, *(self.rows[i] for i in own)]
        known = directions(found, len(embedding)) @ embedding
        near = np.argsort(-np.concatenate([known, similarity[own]]))[:count]
        return [both[i] for i in near]


class WaitingRows:
    """Keeps those of the collections that were searched last."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[tuple[str, int], Waiting | None]] = {}
        """By collection: of which table and version, and what waits there."""

    async def of(self, published: Published, table: Any) -> Waiting | None:
        """None where nothing waits, or so much that it is left to LanceDB."""
        wanted = published.table, published.version
        known, waiting = self._known.pop(published.name, (None, None))
        if known != wanted:
            waiting = await _read(published, table)
        self._known[published.name] = wanted, waiting
        if len(self._known) > MOST_COLLECTIONS:
            del self._known[next(iter(self._known))]
        return waiting


async def _read(published: Published, table: Any) -> Waiting | None:
    if not published.partitions or not published.pending:
        return None
    count = (await table.index_stats(VECTOR_INDEX)).num_unindexed_rows
    if not 0 < count <= MOST_ROWS:
        return None
    # Rows are added behind the others, and an index is brought up to date for all of them.
    last = table.query().select([PACKED]).offset(published.passages - count).limit(count)
    rows = (await last.to_arrow())[PACKED].to_pylist()
    return Waiting(rows, directions(rows, published.dimension))
