"""Searches a LanceDB collection by vector and by words, at the same time."""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from python_backends.stores.lance_packed import PACKED, unpacked
from python_backends.stores.lance_table import FOUND, TEXT, VECTOR, found
from python_backends.stores.published import Published
from python_backends.stores.store import Found
from python_backends.tensors import Array

LEAST_SEARCHED = 16
"""Partitions that a search without a filter looks into at least."""

_ROW_ID = "_rowid"


@dataclass(frozen=True)
class Wanted:
    """`column` of `count` rows that fit the condition `where`."""

    column: str
    count: int
    where: str


async def search(
    table: Any, published: Published, query: str, embedding: Array, where: str, count: int
) -> Found:
    """The rows that are nearest, and the best by words, `count` of each."""
    wanted = Wanted(PACKED if published.is_packed else _ROW_ID, count, where)
    rankings = await asyncio.gather(
        _by_vector(table, published, embedding, wanted), _by_words(table, query, wanted)
    )
    rows = [row for ranking in rankings for row in ranking]
    if rows and not published.is_packed:
        return await _take(table, list(dict.fromkeys(rows)), published.dimension)
    return unpacked(rows, published.dimension)


async def _by_vector(
    table: Any, published: Published, embedding: Array, wanted: Wanted
) -> list[Any]:
    """The nearest rows."""
    search = table.query().nearest_to(embedding).column(VECTOR).distance_type("cosine")
    if published.partitions:
        search = search.nprobes(await _searched(table, published, wanted.where))
    else:
        search = search.bypass_vector_index()
    return await _values(search, "_distance", wanted)


async def _searched(table: Any, published: Published, where: str) -> int:
    """How many partitions: as many more as the filter leaves fewer rows in each."""
    usual = searched(published.partitions)
    if not where:
        return usual
    fitting = max(1, await table.count_rows(where))
    return int(min(published.partitions, usual * published.passages / fitting))


def searched(partitions: int) -> int:
    """How many of the partitions a search looks into: their square root, as pgvector's manual
    advises for large tables, and `LEAST_SEARCHED` of fewer."""
    return max(LEAST_SEARCHED, math.isqrt(partitions))


async def _by_words(table: Any, query: str, wanted: Wanted) -> list[Any]:
    """The best rows by BM25."""
    from lancedb.query import MatchQuery

    return await _values(table.query().nearest_to_text(MatchQuery(query, TEXT)), "_score", wanted)


async def _values(search: Any, score: str, wanted: Wanted) -> list[Any]:
    search = search.where(wanted.where) if wanted.where else search
    if wanted.column == _ROW_ID:
        search = search.select([score]).with_row_id()
    else:
        search = search.select([score, wanted.column])
    # What `to_arrow` does, without its look for blobs in the table's schema: a tenth of a search.
    batches = await search.limit(wanted.count)._inner.execute()
    return [value async for batch in batches for value in batch[wanted.column].to_pylist()]


async def _take(table: Any, row_ids: Sequence[int], dimension: int) -> Found:
    """The rows with these ids, in any order, of a table without the column `PACKED`.

    To read its eight columns in both rankings would take longer.
    """
    return found(await table.take_row_ids(row_ids).select([*FOUND, VECTOR]).to_arrow(), dimension)
