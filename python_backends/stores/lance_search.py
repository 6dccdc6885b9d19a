"""Searches a LanceDB collection by vector and by words, at the same time."""

import asyncio
import math
from itertools import chain
from typing import Any

from python_backends.stores.lance_packed import PACKED, unpacked
from python_backends.stores.lance_table import TEXT, VECTOR
from python_backends.stores.lance_waiting import WaitingRows
from python_backends.stores.published import Published
from python_backends.stores.store import Found
from python_backends.tensors import Array

LEAST_SEARCHED = 24
"""Partitions that a search without a filter looks into at least."""


async def search(
    table: Any,
    published: Published,
    waiting: WaitingRows,
    query: str,
    embedding: Array,
    where: str,
    count: int,
) -> Found:
    """The rows that are nearest, and the best by words, `count` of each that fit `where`."""
    rankings = await asyncio.gather(
        _by_vector(table, published, waiting, embedding, where, count),
        _by_words(table, query, where, count),
    )
    return unpacked(chain(*rankings), published.dimension)


async def _by_vector(
    table: Any, published: Published, waiting: WaitingRows, embedding: Array, where: str, count: int
) -> list[bytes]:
    """The nearest rows."""
    search = table.query().nearest_to(embedding).column(VECTOR).distance_type("cosine")
    if published.partitions:
        search = search.nprobes(await _searched(table, published, where))
    else:
        search = search.bypass_vector_index()
    known = None if where else await waiting.of(published, table)
    if known is None:
        return await _packed(search, "_distance", where, count)
    found = await _packed(search.fast_search(), "_distance", where, count)
    return known.with_nearest(found, embedding, count)


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


async def _by_words(table: Any, query: str, where: str, count: int) -> list[bytes]:
    """The best rows by BM25."""
    from lancedb.query import MatchQuery

    search = table.query().nearest_to_text(MatchQuery(query, TEXT))
    return await _packed(search, "_score", where, count)


async def _packed(search: Any, score: str, where: str, count: int) -> list[bytes]:
    search = search.where(where) if where else search
    # What `to_arrow` does, without its look for blobs in the table's schema: a tenth of a search.
    batches = await search.select([score, PACKED]).limit(count)._inner.execute()
    rows: list[bytes] = []
    async for batch in batches:
        rows += batch[PACKED].to_pylist()
        if len(rows) >= count:
            break  # to be told that this is the end takes another turn of the threads
    return rows
