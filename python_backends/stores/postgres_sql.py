"""The SQL of the PostgreSQL store: tables, indexes, searches, and filters as conditions."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
from python_backends.stores.store import Document
from python_backends.tensors import Array

MAX_INDEXED_DIMENSION = 2_000
"""pgvector indexes no wider vectors; collections with such are searched passage by passage."""

SCHEMA = (
    # Two processes that create the same thing at once would fail.
    "SELECT pg_advisory_xact_lock(7230149)",
    "CREATE EXTENSION IF NOT EXISTS vector",
    "CREATE SCHEMA IF NOT EXISTS triton_rag",
    """CREATE TABLE IF NOT EXISTS triton_rag.collections (
        number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        name text UNIQUE NOT NULL,
        embedder text NOT NULL,
        dimension integer NOT NULL,
        fields jsonb NOT NULL DEFAULT '{}',
        documents bigint NOT NULL DEFAULT 0,
        passages bigint NOT NULL DEFAULT 0,
        created timestamptz NOT NULL DEFAULT now(),
        updated timestamptz NOT NULL DEFAULT now())""",
)

_COLLECTIONS = """SELECT c.name, c.embedder, c.dimension, c.fields, c.documents, c.passages,
    extract(epoch FROM c.created)::float8, extract(epoch FROM c.updated)::float8,
    coalesce(pg_total_relation_size(to_regclass('triton_rag.passages_' || c.number)), 0),
    c.number
    FROM triton_rag.collections AS c"""
COLLECTIONS = f"{_COLLECTIONS} ORDER BY c.name"
COLLECTION = f"{_COLLECTIONS} WHERE c.name = %s"
NAMES = "SELECT name FROM triton_rag.collections ORDER BY name"
INSERT_COLLECTION = """INSERT INTO triton_rag.collections (name, embedder, dimension)
    VALUES (%s, %s, %s) ON CONFLICT (name) DO NOTHING RETURNING number"""
DELETE_COLLECTION = "DELETE FROM triton_rag.collections WHERE number = %s"
RENAME = "UPDATE triton_rag.collections SET name = %s WHERE number = %s"
COUNT = """UPDATE triton_rag.collections SET fields = %s, documents = documents + %s,
    passages = passages + %s, updated = clock_timestamp() WHERE number = %s"""

_COLUMNS = (
    *("document", "number", "title", "page", "text", "passage_metadata"),
    *("metadata", "content_hash", "passages", "embedding"),
)
_FOUND = "document, number, title, page, text, passage_metadata, metadata::text, embedding"

_QUOTED = r"'''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || ''''"
"""SQL for a word as tsquery reads it."""
COMMON_FROM, COMMON = 10_000, 0.01
"""A word is common if more than the share `COMMON` of the passages has it, where there are at least
`COMMON_FROM` of them."""


def table(number: int) -> str:
    return f"triton_rag.passages_{number}"


def create_table(number: int, dimension: int) -> Iterator[str]:
    yield f"""CREATE TABLE {table(number)} (
        document text COLLATE "C" NOT NULL,
        number integer NOT NULL,
        title text NOT NULL,
        page integer NOT NULL,
        text text NOT NULL,
        passage_metadata text NOT NULL,
        metadata jsonb NOT NULL,
        content_hash text NOT NULL,
        passages integer NOT NULL,
        embedding vector({dimension}) NOT NULL,
        words tsvector GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED,
        PRIMARY KEY (document, number))"""
    yield f"CREATE INDEX ON {table(number)} USING gin (words)"
    yield f"CREATE INDEX ON {table(number)} USING gin (metadata jsonb_path_ops)"
    if dimension <= MAX_INDEXED_DIMENSION:
        yield f"CREATE INDEX ON {table(number)} USING hnsw (embedding vector_cosine_ops)"


def copy(number: int) -> str:
    return f"COPY {table(number)} ({', '.join(_COLUMNS)}) FROM STDIN"


def rows(document: Document) -> Iterator[tuple[Any, ...]]:
    """The rows of a document, for `copy`."""
    metadata = json.dumps(dict(document.metadata), ensure_ascii=False)
    for number, (passage, row) in enumerate(
        zip(document.passages, document.embeddings, strict=True)
    ):
        yield (
            document.id,
            number,
            document.title,
            passage.page,
            passage.text,
            passage.metadata,
            metadata,
            document.content_hash,
            len(document.passages),
            vector(row),
        )


def vector(row: Array) -> str:
    """The row as pgvector reads it."""
    return f"[{','.join(map(repr, row.tolist()))}]"


def delete(number: int) -> str:
    return f"""WITH gone AS
        (DELETE FROM {table(number)} WHERE document = ANY(%s) RETURNING number)
        SELECT count(*) FILTER (WHERE number = 0), count(*) FROM gone"""


def documents(number: int) -> str:
    return f"""SELECT document, title, content_hash, passages, metadata FROM {table(number)}
        WHERE number = 0 AND document > %s ORDER BY document LIMIT %s"""


def whole(number: int) -> str:
    """Reads whole documents, in the columns of `PassageRow`."""
    return f"""SELECT document, title, content_hash, metadata, text, page, passage_metadata,
        embedding FROM {table(number)} WHERE document = ANY(%s) ORDER BY document, number"""


def search_settings(count: int) -> Iterator[str]:
    """Settings of a search: how many neighbours the index keeps; with a filter it continues until
    enough of them fit."""
    yield f"SET LOCAL hnsw.ef_search = {min(1000, max(100, count))}"
    yield "SET LOCAL hnsw.iterative_scan = relaxed_order"


def by_vector(number: int, where: str) -> str:
    return f"""SELECT {_FOUND} FROM {table(number)} WHERE {where}
        ORDER BY embedding <=> %s::vector LIMIT %s"""


def by_words(number: int, where: str) -> str:
    """Passages that have any word of the question that is not common, or its rarest word.

    `ts_rank` reads each passage that matches, and "the" matches all of them. PostgreSQL's
    statistics know the share of rows that have a word; where there are none yet, no word is common.
    """
    return f"""WITH common AS (
            SELECT m.* FROM pg_stats,
                unnest(most_common_elems::text::text[], most_common_elem_freqs) AS m(word, share)
            WHERE (schemaname, tablename, attname) = ('triton_rag', 'passages_{number}', 'words')),
        asked_words AS (
            SELECT lexeme, coalesce(share, 0) AS share
            FROM unnest(to_tsvector('simple', %s)) LEFT JOIN common ON word = lexeme),
        question AS (
            SELECT string_agg({_QUOTED}, ' | ')::tsquery AS asked FROM asked_words
            WHERE share <= greatest(%s::float8, (SELECT min(share) FROM asked_words)))
        SELECT {_FOUND} FROM {table(number)}, question
        WHERE words @@ asked AND {where} ORDER BY ts_rank(words, asked, 1) DESC LIMIT %s"""


def common_share(passages: int) -> float:
    """The share of passages with which a word counts as common."""
    return COMMON if passages >= COMMON_FROM else 1.0


def where(wanted: Filter, fields: Mapping[str, FieldType]) -> tuple[str, list[Any]]:
    """The filter as a condition with its values."""
    if fits_all(wanted):
        return "TRUE", []
    if isinstance(wanted, Condition):
        return _condition(wanted, fields)
    parts = [where(part, fields) for part in wanted.parts]
    text = f" {GROUPS[wanted.operator]} ".join(part for part, _ in parts)
    return f"({text})", [value for _, values in parts for value in values]


def _condition(condition: Condition, fields: Mapping[str, FieldType]) -> tuple[str, list[Any]]:
    """One condition and its values; equality uses the index over all metadata."""
    name, operator, values = condition.field, condition.operator, condition.values
    if name in ("document", "title"):
        return _compared(name, operator, list(values))
    if operator in ("$eq", "$in"):
        text = " OR ".join(["metadata @> %s::jsonb"] * len(values))
        return f"({text})", [json.dumps({name: value}) for value in values]
    kind = {"text": "text", "number": "float8", "boolean": "boolean"}[fields[name]]
    text, asked = _compared(f"(metadata->>%s)::{kind}", operator, list(values))
    return text, [name, *asked]


def _compared(column: str, operator: str, values: Sequence[Value]) -> tuple[str, list[Any]]:
    collate = ' COLLATE "C"' if isinstance(values[0], str) else ""
    if operator in MEMBERSHIPS:
        marks = ", ".join(["%s"] * len(values))
        return f"{column} {MEMBERSHIPS[operator]} ({marks})", list(values)
    return f"{column}{collate} {COMPARISONS[operator]} %s", list(values)
