"""Searches a LanceDB collection by vector and by words, at the same time."""

import asyncio
import math
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from python_backends.stores.lance_copy import PackedCopies
from python_backends.stores.lance_packed import PACKED, unpacked
from python_backends.stores.lance_table import ROW_ID, TEXT, VECTOR
from python_backends.stores.lance_waiting import Waiting, WaitingRows
from python_backends.stores.published import Published
from python_backends.stores.store import Found
from python_backends.tensors import Array

LEAST_SEARCHED = 24
"""Least number of partitions that a search reads."""


class Memory:
    """What a process keeps of collections in addition to LanceDB's caches."""

    def __init__(self, folder: Path) -> None:
        self.waiting, self.copies = WaitingRows(), PackedCopies(folder)


@dataclass(frozen=True)
class _Search:
    """One search: `count` rows of each ranking that fit `where`."""

    table: Any
    published: Published
    waiting: Waiting | None
    copies: PackedCopies
    where: str
    count: int


async def search(
    table: Any,
    published: Published,
    memory: Memory,
    query: str,
    embedding: Array,
    where: str,
    count: int,
) -> Found:
    """The `count` nearest rows and the `count` best rows by words, of those that fit `where`."""
    waiting = await memory.waiting.of(published, table)
    one = _Search(table, published, waiting, memory.copies, where, count)
    rankings = await asyncio.gather(_by_vector(one, embedding), _by_words(one, query))
    return unpacked(chain(*rankings), published.dimension)


async def _by_vector(one: _Search, embedding: Array) -> list[bytes]:
    """The nearest rows."""
    search = one.table.query().nearest_to(embedding).column(VECTOR).distance_type("cosine")
    if one.published.partitions:
        search = search.nprobes(await _searched(one.table, one.published, one.where))
    else:
        search = search.bypass_vector_index()
    if one.waiting is None or one.where:
        return await _rows(one, search, "_distance")
    found = await _rows(one, search.fast_search(), "_distance")
    return one.waiting.with_nearest(found, embedding, one.count)


async def _searched(table: Any, published: Published, where: str) -> int:
    """How many partitions to read: the fewer rows the filter leaves in each, the more."""
    usual = searched(published.partitions)
    if not where:
        return usual
    fitting = max(1, await table.count_rows(where))
    return int(min(published.partitions, usual * published.passages / fitting))


def searched(partitions: int) -> int:
    """How many of the partitions a search without a filter reads: their square root, as pgvector's
    manual advises for large tables, but at least `LEAST_SEARCHED`."""
    return max(LEAST_SEARCHED, math.isqrt(partitions))


async def _by_words(one: _Search, query: str) -> list[bytes]:
    """The best rows by BM25."""
    from lancedb.query import MatchQuery

    return await _rows(one, one.table.query().nearest_to_text(MatchQuery(query, TEXT)), "_score")


async def _rows(one: _Search, search: Any, score: str) -> list[bytes]:
    """Packed rows in the order of a ranking."""
    search = search.where(one.where) if one.where else search
    search = search.limit(one.count)
    if one.waiting is not None and (copy := one.copies.of(one.published)):
        ids = await _column(search.select([score]).with_row_id(), ROW_ID, one.count)
        rows = copy.rows(np.array(ids, np.uint64), one.waiting.by_id)
        if rows is not None:
            return rows
        one.copies.drop(one.published)
    return await _column(search.select([score, PACKED]), PACKED, one.count)


async def _column(search: Any, name: str, count: int) -> list[Any]:
    # Like `to_arrow`, without its look for blobs in the schema, which takes a tenth of a search.
    values: list[Any] = []
    async for batch in await search._inner.execute():
        values += batch[name].to_pylist()
        if len(values) >= count:
            break  # asking whether this is the end would take another switch of threads
    return values
