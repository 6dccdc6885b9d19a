"""The indexes of a LanceDB collection, and when they are brought up to date.

By words: BM25, over words as Unicode segments them, without case and accents. By vector: exact up
to `TRAIN_FROM` passages, then IVF with 8 bits per value. Rows that are not in an index yet are
compared one by one, so a search misses none. That takes time, so few rows may wait for the indexes.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from python_backends.stores.filters import FieldType
from python_backends.stores.lance_table import DOCUMENT, TEXT, VECTOR, VECTOR_INDEX, arrow_type
from python_backends.stores.published import Column, Published

TRAIN_FROM = 10_000
"""Least number of passages with which a collection has a vector index."""
PARTITION_ROWS, MOST_PARTITIONS = 500, 1_024
"""Rows per partition of the vector index, and most partitions: more rows make them larger."""
TRAINING = {"sample_rate": 64, "max_iterations": 10}
"""Training takes a third of the time that the defaults (256, 50) take, for the same recall."""
PENDING, PENDING_SHARE = 2_000, 0.03
"""Rows that may wait for the indexes: this many, or this share of the passages."""
PENDING_S = 900.0
"""How long a row may wait for the indexes while changes come."""
MAX_DELTAS = 8
"""Each update adds a part to the vector index, and each search reads all parts: with so many, the
index is trained again. A part is dropped when all its rows were replaced."""
QUIET_SHARE = 0.05
"""Share of the passages in such parts with which it is trained again once no change comes."""
KEPT = timedelta(minutes=1)
"""How long a replaced version stays, for searches that still read it."""
_ALL_KEPT = timedelta(days=36_500)


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


def with_columns(published: Published, table: Any, fields: Mapping[str, FieldType]) -> Published:
    """Give each new metadata field a column, and the index that its filters use."""
    import pyarrow as pa
    from lancedb.index import Bitmap, BTree

    new = {
        name: Column(f"field_{number}", kind)
        for number, (name, kind) in enumerate(fields.items())
        if name not in published.columns
    }
    if new:
        table.add_columns([pa.field(c.name, arrow_type(c.type)) for c in new.values()])
    for column in new.values():
        config = Bitmap() if column.type == "boolean" else BTree()
        table.create_index(column.name, config=config)
    return replace(published, columns=published.columns | new)


def is_due(published: Published) -> bool:
    """Whether rows wait that are so many, or so old, that the indexes must be updated at once."""
    waited_s = published.updated_s - published.pending_since_s
    many = max(PENDING, PENDING_SHARE * published.passages)
    return published.pending >= many or waited_s > PENDING_S


def updated(table: Any, published: Published, is_quiet: bool) -> Published:
    """Bring the indexes up to date. That may take minutes, so no old version is deleted meanwhile:
    searches still read the one that is published.

    `is_quiet`: no change has come for a while, so there is time to make searches fast again.
    """
    if published.pending:
        untrained = published.untrained + published.pending
        published = replace(published, pending=0, untrained=untrained)
    if _is_training_due(published, is_quiet):
        published = _train(table, published)
    table.optimize(cleanup_older_than=_ALL_KEPT)
    parts = table.index_stats(VECTOR_INDEX).num_indices if published.partitions else 1
    return replace(published, deltas=parts - 1)


def clean(table: Any) -> None:
    """Drop old versions, once the newest is published."""
    table.optimize(cleanup_older_than=KEPT)


def _is_training_due(published: Published, is_quiet: bool) -> bool:
    if published.passages < TRAIN_FROM:
        return False
    many_untrained = published.untrained >= QUIET_SHARE * published.passages
    is_in_parts = published.deltas >= MAX_DELTAS or (is_quiet and many_untrained)
    return not published.partitions or is_in_parts


def _train(table: Any, published: Published) -> Published:
    from lancedb.index import IvfSq

    partitions = min(MOST_PARTITIONS, max(1, published.passages // PARTITION_ROWS))
    config = IvfSq(distance_type="cosine", num_partitions=partitions, **TRAINING)
    table.create_index(VECTOR, config=config, replace=True)
    return replace(published, partitions=partitions, untrained=0)
