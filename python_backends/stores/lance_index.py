"""The indexes of a LanceDB collection: when they are brought up to date, and how they search.

By words: BM25, over words as Unicode segments them, without case and accents. By vector: exact up
to `TRAIN_FROM` passages, then IVF with 8 bits a value. Rows that are not in an index yet are
compared one by one, so a search misses none; but they take time, so few may wait.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from python_backends.stores.filters import FieldType
from python_backends.stores.lance_table import DOCUMENT, FOUND, TEXT, VECTOR
from python_backends.stores.published import Published
from python_backends.tensors import Array

if TYPE_CHECKING:
    import pyarrow as pa

TRAIN_FROM = 10_000
"""Passages from which there is a vector index."""
PARTITION_ROWS, MOST_PARTITIONS = 1_000, 1_024
"""Rows of a partition of the vector index, where that makes no more partitions than these."""
TRAINING = {"sample_rate": 64, "max_iterations": 10}
"""A third of the time that the defaults (256, 50) take, for the same recall."""
SEARCHED = 16
"""Partitions that a search without a filter looks into."""
PENDING, PENDING_SHARE = 2_000, 0.03
"""Rows that may wait for the indexes: this many, or this share of the passages."""
MAX_DELTAS = 8
"""The vector index gets a part for each update; after so many it is trained again."""
KEPT = timedelta(minutes=1)
"""How long a replaced version stays, for searches that still read it."""


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


def create_field(table: Any, column: str, kind: FieldType) -> None:
    """The index that filters on a metadata field use."""
    from lancedb.index import Bitmap, BTree

    table.create_index(column, config=Bitmap() if kind == "boolean" else BTree())


def is_due(published: Published) -> bool:
    """Whether enough rows wait to bring the indexes up to date at once."""
    return published.pending >= max(PENDING, PENDING_SHARE * published.passages)


def updated(table: Any, published: Published) -> Published:
    """Bring the indexes up to date, and drop the versions that nobody reads any more."""
    if published.pending:
        deltas = published.deltas + 1
        if published.passages >= TRAIN_FROM and (deltas > MAX_DELTAS or not published.partitions):
            published = _train(table, published)
        else:
            published = replace(published, deltas=deltas)
    table.optimize(cleanup_older_than=KEPT)
    return replace(published, pending=0)


def _train(table: Any, published: Published) -> Published:
    from lancedb.index import IvfSq

    partitions = min(MOST_PARTITIONS, max(1, published.passages // PARTITION_ROWS))
    config = IvfSq(distance_type="cosine", num_partitions=partitions, **TRAINING)
    table.create_index(VECTOR, config=config, replace=True)
    return replace(published, partitions=partitions, deltas=0)


def by_vector(
    table: Any, published: Published, embedding: Array, where: str, count: int
) -> list[int]:
    """The row ids of the nearest rows, at most `count`."""
    search = table.search(embedding, vector_column_name=VECTOR).distance_type("cosine")
    if where:
        search = search.where(where, prefilter=True)
    if published.partitions:
        search = search.nprobes(_searched(table, published, where))
    else:
        search = search.bypass_vector_index()
    return _row_ids(search.select(["_distance"]), count)


def _searched(table: Any, published: Published, where: str) -> int:
    """How many partitions: as many more as the filter leaves fewer rows in each."""
    if not where:
        return SEARCHED
    fitting = max(1, table.count_rows(where))
    return int(min(published.partitions, SEARCHED * published.passages / fitting))


def by_words(table: Any, query: str, where: str, count: int) -> list[int]:
    """The row ids of the best rows by BM25, at most `count`."""
    from lancedb.query import MatchQuery

    search = table.search(MatchQuery(query, TEXT), query_type="fts")
    if where:
        search = search.where(where, prefilter=True)
    return _row_ids(search.select(["_score"]), count)


def _row_ids(search: Any, count: int) -> list[int]:
    found: list[int] = search.with_row_id(True).limit(count).to_arrow()["_rowid"].to_pylist()
    return found


def take(table: Any, row_ids: Sequence[int]) -> "pa.Table":
    """The rows with these ids, in any order. Reading rows takes longer than finding them."""
    return table.take_row_ids(list(row_ids)).select([*FOUND, VECTOR]).to_arrow()
