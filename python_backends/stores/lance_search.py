"""How a LanceDB collection is searched: by vector, by words, and the rows of what both find."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from python_backends.stores.lance_table import FOUND, TEXT, VECTOR
from python_backends.stores.published import Published
from python_backends.tensors import Array

if TYPE_CHECKING:
    import pyarrow as pa

SEARCHED = 16
"""Partitions that a search without a filter looks into."""


async def search(
    table: Any, published: Published, query: str, embedding: Array, where: str, count: int
) -> "pa.Table | None":
    """The rows that are nearest, and the best by words, `count` of each; None where none fits."""
    found = await asyncio.gather(
        _by_vector(table, published, embedding, where, count),
        _by_words(table, query, where, count),
    )
    row_ids = dict.fromkeys(row_id for ranking in found for row_id in ranking)
    return await _take(table, list(row_ids)) if row_ids else None


async def _by_vector(
    table: Any, published: Published, embedding: Array, where: str, count: int
) -> list[int]:
    """The row ids of the nearest rows."""
    search = table.query().nearest_to(embedding).column(VECTOR).distance_type("cosine")
    if published.partitions:
        search = search.nprobes(await _searched(table, published, where))
    else:
        search = search.bypass_vector_index()
    return await _row_ids(search.select(["_distance"]), where, count)


async def _searched(table: Any, published: Published, where: str) -> int:
    """How many partitions: as many more as the filter leaves fewer rows in each."""
    if not where:
        return SEARCHED
    fitting = max(1, await table.count_rows(where))
    return int(min(published.partitions, SEARCHED * published.passages / fitting))


async def _by_words(table: Any, query: str, where: str, count: int) -> list[int]:
    """The row ids of the best rows by BM25."""
    from lancedb.query import MatchQuery

    search = table.query().nearest_to_text(MatchQuery(query, TEXT))
    return await _row_ids(search.select(["_score"]), where, count)


async def _row_ids(search: Any, where: str, count: int) -> list[int]:
    if where:
        search = search.where(where)
    rows = await search.with_row_id().limit(count).to_arrow()
    found: list[int] = rows["_rowid"].to_pylist()
    return found


async def _take(table: Any, row_ids: Sequence[int]) -> "pa.Table":
    """The rows with these ids, in any order. Reading rows takes longer than finding them."""
    return await table.take_row_ids(row_ids).select([*FOUND, VECTOR]).to_arrow()
