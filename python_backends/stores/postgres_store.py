"""PostgreSQL with pgvector: collections on a database server, which several machines may share.

A collection is a table and a passage a row, as in LanceDB. A change is a transaction; a search
reads one snapshot. The search by words uses PostgreSQL's `ts_rank`, which is not BM25: rare words
count no more than others. Whatever the store, `vector_search` then ranks what was found by BM25.
"""

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from python_backends.stores import postgres_sql as sql
from python_backends.stores.filters import Filter
from python_backends.stores.store import (
    Change,
    Collection,
    Document,
    DocumentEntry,
    Found,
    FoundPassage,
    PassageRow,
    check_name,
    down,
    exists_already,
    not_found,
    whole_documents,
    with_fields,
)
from python_backends.tensors import Array

if TYPE_CHECKING:
    import psycopg

CONNECT_TIMEOUT_S = 5
IDLE_S = 1.0
"""A connection that was idle for longer is tried before it is used."""
KEEPALIVE = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}
"""With these, a server that has disappeared is noticed after 25 s."""

logger = logging.getLogger(__name__)


class PostgresStore:
    """Implements `Store` over a database; nothing is connected to before it is used."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._used_s = 0.0
        self._lock = threading.Lock()

    def collections(self) -> list[Collection]:
        with self._transaction() as cursor:
            return [_collection(row) for row in cursor.execute(sql.COLLECTIONS).fetchall()]

    def collection(self, name: str) -> Collection:
        with self._transaction() as cursor:
            return self._existing(cursor, name)[1]

    def create(self, name: str, embedder: str, dimension: int) -> Collection:
        check_name(name)
        with self._transaction() as cursor:
            row = cursor.execute(sql.INSERT_COLLECTION, (name, embedder, dimension)).fetchone()
            if row is None:
                raise exists_already(self._existing(cursor, name)[1])
            for statement in sql.create_table(row[0], dimension):
                cursor.execute(statement)
            return self._existing(cursor, name)[1]

    def delete(self, name: str) -> Collection:
        with self._transaction() as cursor:
            number, was = self._existing(cursor, name, for_change=True)
            cursor.execute(f"DROP TABLE {sql.table(number)}")
            cursor.execute(sql.DELETE_COLLECTION, (number,))
            return was

    def replace(self, name: str, documents: Sequence[Document]) -> Change:
        with self._transaction() as cursor:
            number, before = self._existing(cursor, name, for_change=True)
            fields = with_fields(before, documents)
            gone = _delete(cursor, number, [document.id for document in documents])
            with cursor.copy(sql.copy(number)) as copy:
                for document in documents:
                    for row in sql.rows(document):
                        copy.write_row(row)
            came = Change(len(documents), sum(len(d.passages) for d in documents))
            _count(cursor, number, fields, came, gone)
            return Change(came.documents, came.passages, gone.documents)

    def remove(self, name: str, ids: Sequence[str]) -> Change:
        with self._transaction() as cursor:
            number, before = self._existing(cursor, name, for_change=True)
            gone = _delete(cursor, number, ids)
            _count(cursor, number, before.fields, Change(0, 0), gone)
            return gone

    def documents(self, name: str, after: str, limit: int) -> list[DocumentEntry]:
        with self._transaction() as cursor:
            number, _ = self._existing(cursor, name)
            rows = cursor.execute(sql.documents(number), (after, limit)).fetchall()
            return [DocumentEntry(*row) for row in rows]

    def read(self, name: str, ids: Sequence[str]) -> list[Document]:
        with self._transaction() as cursor:
            number, _ = self._existing(cursor, name)
            found = cursor.execute(sql.whole(number), (list(ids),), binary=True).fetchall()
        return whole_documents(PassageRow(*[*row, _vector(raw)]) for *row, raw in found)

    def rename(self, name: str, new: str) -> Collection:
        check_name(new)
        with self._transaction() as cursor:
            number, _ = self._existing(cursor, name, for_change=True)
            if taken := cursor.execute(sql.COLLECTION, (new,)).fetchone():
                raise exists_already(_collection(taken))
            cursor.execute(sql.RENAME, (new, number))
            return self._existing(cursor, new)[1]

    def search(
        self, collection: Collection, query: str, embedding: Array, wanted: Filter, count: int
    ) -> Found:
        where, values = sql.where(wanted, collection.fields)
        with self._transaction(snapshot=True) as cursor:
            number, now = self._existing(cursor, collection.name)
            for statement in sql.search_settings(count):
                cursor.execute(statement)
            near = cursor.execute(
                sql.by_vector(number, where), [*values, sql.vector(embedding), count], binary=True
            ).fetchall()
            asked = [query, sql.common_share(now.passages), *values, count]
            words = cursor.execute(sql.by_words(number, where), asked, binary=True).fetchall()
        return _union([*near, *words], collection.dimension)

    def warm(self) -> bool:
        """Import the driver. The first request connects, because that may create the schema."""
        import psycopg  # noqa: F401

        return True

    def close(self) -> None:
        if self._connection:
            self._connection.close()

    def _existing(self, cursor: Any, name: str, for_change: bool = False) -> tuple[int, Collection]:
        """The number of a collection's table, and the collection; locked until its change ends."""
        lock = " FOR UPDATE OF c" if for_change else ""
        row = cursor.execute(sql.COLLECTION + lock, (check_name(name),)).fetchone()
        if row is None:
            names = [found[0] for found in cursor.execute(sql.NAMES).fetchall()]
            raise not_found(name, names)
        return row[-1], _collection(row)

    @contextmanager
    def _transaction(self, snapshot: bool = False) -> Iterator[Any]:
        """A cursor; at the end all of its changes are committed, or none after an error."""
        import psycopg

        with self._lock:
            try:
                connection = self._connected()
                with connection.transaction(), connection.cursor() as cursor:
                    if snapshot:
                        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
                    yield cursor
            except psycopg.Error as error:
                logger.exception("the store of collections")
                raise down(self._fault(error)) from error

    def _connected(self) -> "psycopg.Connection[Any]":
        import psycopg

        now_s = time.monotonic()
        if self._connection and now_s - self._used_s > IDLE_S:
            with suppress(psycopg.Error):  # closed by this, if the server has ended it
                self._connection.execute("SELECT 1")
        self._used_s = now_s
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(
                self._url, connect_timeout=CONNECT_TIMEOUT_S, autocommit=True, **KEEPALIVE
            )
            with self._connection.transaction():
                for statement in sql.SCHEMA:
                    self._connection.execute(statement)
        return self._connection

    def _fault(self, error: "psycopg.Error") -> str:
        """What failed, without the URL, which may have a password."""
        import psycopg
        from psycopg.conninfo import conninfo_to_dict

        parts = conninfo_to_dict(self._url)
        where = f"{parts.get('host', 'this machine')}:{parts.get('port', 5432)}"
        if isinstance(error, psycopg.OperationalError):
            return f"collection: the PostgreSQL server at {where} can't be reached, or has stopped"
        what = error.diag.message_primary or type(error).__name__
        return f"collection: the PostgreSQL server at {where} failed ({what})"


def _collection(row: Sequence[Any]) -> Collection:
    return Collection(*row[:-1])


def _delete(cursor: Any, number: int, ids: Sequence[str]) -> Change:
    """Delete documents; returns how many documents and passages that were."""
    found = cursor.execute(sql.delete(number), (list(ids),)).fetchone()
    return Change(*found)


def _count(cursor: Any, number: int, fields: Any, came: Change, gone: Change) -> None:
    documents, passages = came.documents - gone.documents, came.passages - gone.passages
    cursor.execute(sql.COUNT, (json.dumps(dict(fields)), documents, passages, number))


def _union(rows: Sequence[Any], dimension: int) -> Found:
    """The passages of both rankings, each once."""
    found = {FoundPassage(*passage): raw for *passage, raw in rows}
    vectors = [_vector(raw) for raw in found.values()]
    return Found(list(found), np.array(vectors, np.float32).reshape(-1, dimension))


def _vector(raw: bytes) -> Array:
    """The vector that pgvector sends, as FP32 [dimension]."""
    return np.frombuffer(raw, ">f4", offset=4)
