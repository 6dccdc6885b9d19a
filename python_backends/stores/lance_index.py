"""The indexes of a LanceDB collection: when they are brought up to date, and how they search.

By words: BM25, over words as Unicode segments them, without case and accents. By vector: exact up
to `TRAIN_FROM` passages, then IVF with 8 bits a value. Rows that are not in an index yet are
compared one by one, so a search misses none; but they take time, so few may wait.
"""

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from python_backends.stores.lance_table import DOCUMENT, FOUND, TEXT, VECTOR
from python_backends.stores.published import Published
from python_backends.tensors import Array

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN_FROM = 10_000
"""Passages from which there is a vector index."""
PENDING, PENDING_SHARE = 2_000, 0.02
"""Rows that may wait for the indexes: this many, or this share of the passages."""
RETRAIN_GROWTH = 1.5
"""The vector index is trained again when there are so many times the passages."""
PARTITIONS_SEARCHED = 20
KEPT = timedelta(minutes=10)
"""How long versions stay that searches may still be reading."""
EXACT_BELOW = 5_000
"""Where a filter leaves fewer passages, they are compared one by one: the index would miss some."""


def create(table: Any) -> None:
    """The indexes of an empty table."""
    from lancedb.index import FTS, BTree

    table.create_index(
        TEXT,
        config=FTS(
            base_tokenizer="icu/split", stem=False, remove_stop_words=False, ascii_folding=True
        ),
    )
    table.create_index(DOCUMENT, config=BTree())


def kept_up(table: Any, published: Published) -> Published:
    """Bring the indexes up to date where enough rows wait; the state after it."""
    if published.pending < max(PENDING, PENDING_SHARE * published.passages):
        return published
    if published.passages >= max(TRAIN_FROM, RETRAIN_GROWTH * published.trained):
        _train(table)
        published = replace(published, trained=published.passages)
    table.optimize(cleanup_older_than=KEPT)
    return replace(published, pending=0)


def _train(table: Any) -> None:
    from lancedb.index import IvfSq

    table.create_index(VECTOR, config=IvfSq(distance_type="cosine"), replace=True)


def by_vector(
    table: Any, published: Published, embedding: Array, where: str, count: int
) -> "pa.Table":
    """The nearest rows, at most `count`."""
    search = table.search(embedding, vector_column_name=VECTOR).distance_type("cosine")
    if where:
        search = search.where(where, prefilter=True)
    if not published.trained or (where and table.count_rows(where) < EXACT_BELOW):
        search = search.bypass_vector_index()
    else:
        search = search.nprobes(PARTITIONS_SEARCHED)
    return search.select([*FOUND, VECTOR, "_distance"]).limit(count).to_arrow()


def by_words(table: Any, query: str, where: str, count: int) -> "pa.Table":
    """The best rows by BM25, at most `count`, with `_score`."""
    from lancedb.query import MatchQuery

    search = table.search(MatchQuery(query, TEXT), query_type="fts")
    if where:
        search = search.where(where, prefilter=True)
    return search.select([*FOUND, VECTOR, "_score"]).limit(count).to_arrow()
