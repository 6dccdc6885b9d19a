"""The table of a LanceDB collection: its columns, its rows, and filters in its SQL."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from python_backends.stores.filters import (
    COMPARISONS,
    GROUPS,
    MEMBERSHIPS,
    Condition,
    FieldType,
    Filter,
    Value,
    fits_all,
)
from python_backends.stores.lance_packed import PACKED, packed
from python_backends.stores.published import Column, Published
from python_backends.stores.store import Change, Document, DocumentEntry, FoundPassage, PassageRow
from python_backends.tensors import Array

if TYPE_CHECKING:
    import pyarrow as pa

VECTOR, TEXT, DOCUMENT, NUMBER = "vector", "text", "document_id", "number"
ROW_ID = "_rowid"
"""LanceDB's column with the id of a row, which is valid until rows are moved."""
VECTOR_INDEX = f"{VECTOR}_idx"
"""LanceDB's name of the index over the column."""

SINGLE_ROWS = {"lance-encoding:structural-encoding": "fullzip"}
"""Lance's layout for columns that are read row by row: a search takes a third less time."""

FOUND = (DOCUMENT, NUMBER, "title", "page", TEXT, "passage_metadata", "document_metadata")
"""The columns of a `FoundPassage`, in its order."""

WHOLE = (
    *(DOCUMENT, "title", "content_hash", "document_metadata"),
    *(TEXT, "page", "passage_metadata"),
)
"""The columns of a `PassageRow` in its order, before its embedding."""

ENTRY = (DOCUMENT, "title", "content_hash", "passages", "document_metadata")
"""The columns of a `DocumentEntry`, in its order; they are equal in all rows of a document."""


def arrow_type(kind: FieldType) -> "pa.DataType":
    import pyarrow as pa

    return {"text": pa.string(), "number": pa.float64(), "boolean": pa.bool_()}[kind]


def schema(published: Published) -> "pa.Schema":
    """A row is a passage; its document's fields are in each row of the document."""
    import pyarrow as pa

    text, integer = pa.string(), pa.int32()
    single = [
        (DOCUMENT, text),
        ("title", text),
        (TEXT, text),
        ("passage_metadata", text),
        ("document_metadata", text),
        ("content_hash", text),
        (VECTOR, pa.list_(pa.float32(), published.dimension)),
        (PACKED, pa.binary()),
    ]
    return pa.schema(
        [
            *(pa.field(name, kind, metadata=SINGLE_ROWS) for name, kind in single),
            (NUMBER, integer),
            ("page", integer),
            ("passages", integer),
            *((column.name, arrow_type(column.type)) for column in published.columns.values()),
        ]
    )


def rows(documents: Sequence[Document], published: Published) -> "pa.Table":
    """One row for each passage, in the columns of `schema`."""
    import pyarrow as pa

    passages = [passage for document in documents for passage in _passages(document)]
    embeddings = np.concatenate([d.embeddings for d in documents]).astype(np.float32)
    flat = pa.array(embeddings.reshape(-1))
    owners = [document for document in documents for _ in document.passages]
    values: dict[str, Any] = {
        **{name: [passage[i] for passage in passages] for i, name in enumerate(FOUND)},
        "content_hash": [d.content_hash for d in owners],
        "passages": [len(d.passages) for d in owners],
        VECTOR: pa.FixedSizeListArray.from_arrays(flat, published.dimension),
        PACKED: packed(passages, embeddings),
    }
    for name, column in published.columns.items():
        values[column.name] = [_field(d.metadata.get(name)) for d in owners]
    return pa.table(values, schema=schema(published))


def _passages(document: Document) -> Iterator[FoundPassage]:
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
    for number, p in enumerate(document.passages):
        yield FoundPassage(
            document.id, number, document.title, p.page, p.text, p.metadata, metadata
        )


def _field(value: Value | None) -> Value | None:
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def entries(table: "pa.Table") -> Iterator[DocumentEntry]:
    columns = (table[name].to_pylist() for name in ENTRY)
    for document, title, content_hash, passages, metadata in zip(*columns, strict=True):
        yield DocumentEntry(document, title, content_hash, passages, json.loads(metadata))


def passage_rows(table: "pa.Table", dimension: int) -> Iterator[PassageRow]:
    """The rows of `WHOLE` in the order of documents and passages."""
    ordered = table.sort_by([(DOCUMENT, "ascending"), (NUMBER, "ascending")])
    columns = (ordered[name].to_pylist() for name in WHOLE)
    rows = zip(*columns, vectors(ordered, dimension), strict=True)
    for document, title, content_hash, metadata, *passage in rows:
        yield PassageRow(document, title, content_hash, json.loads(metadata), *passage)


def vectors(table: "pa.Table", dimension: int) -> Array:
    """FP32 [rows, dimension]."""
    flat = table[VECTOR].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    found: Array = np.asarray(flat, np.float32).reshape(-1, dimension)
    return found


def sql(wanted: Filter, columns: Mapping[str, Column]) -> str:
    """The filter as a condition of the table; empty where everything fits."""
    return "" if fits_all(wanted) else _sql(wanted, columns)


def _sql(wanted: Filter, columns: Mapping[str, Column]) -> str:
    if isinstance(wanted, Condition):
        return _condition(wanted, columns)
    parts = [_sql(part, columns) for part in wanted.parts]
    return f"({f' {GROUPS[wanted.operator]} '.join(parts)})" if parts else "TRUE"


def _condition(condition: Condition, columns: Mapping[str, Column]) -> str:
    built_in = {"document": DOCUMENT, "title": "title"}
    column = built_in.get(condition.field) or columns[condition.field].name
    values = [literal(value) for value in condition.values]
    if condition.operator in MEMBERSHIPS:
        return f"{column} {MEMBERSHIPS[condition.operator]} ({', '.join(values)})"
    return f"{column} {COMPARISONS[condition.operator]} {values[0]}"


def literal(value: Value) -> str:
    """A value in SQL."""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, str):
        quoted = value.replace("'", "''")
        return f"'{quoted}'"
    return repr(float(value))


def documents_sql(ids: Sequence[str]) -> str:
    return f"{DOCUMENT} IN ({', '.join(map(literal, ids))})"


def delete(table: Any, ids: Sequence[str]) -> Change:
    """Delete documents; returns how many documents and passages that were."""
    these = table.search().where(documents_sql(ids)).select([DOCUMENT]).with_row_id(True)
    found = these.limit(None).to_arrow()
    if len(found):
        # By row id: rows that wait for the index are searched one by one, and that was done once.
        rows = ", ".join(map(str, found[ROW_ID].to_pylist()))
        table.delete(f"{ROW_ID} IN ({rows})")
    return Change(len(found[DOCUMENT].unique()), len(found))
