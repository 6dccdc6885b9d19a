"""The register of files and vector stores: one SQLite database, shared by threads.

A record of another tenant is not found.
"""

import json
import logging
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from gateway.errors import NotFound, TooLarge, Unavailable
from gateway.files.records import File, Page, Status, StoreFile, Value, VectorStore

LOG = logging.getLogger(__name__)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL,
    name TEXT NOT NULL, purpose TEXT NOT NULL, size_bytes INTEGER NOT NULL,
    created_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS stores (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE NOT NULL, tenant TEXT NOT NULL,
    name TEXT NOT NULL, metadata TEXT NOT NULL, created_s INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS store_files (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    store_id TEXT NOT NULL REFERENCES stores(id) ON DELETE CASCADE,
    file_id TEXT NOT NULL REFERENCES files(id) ON DELETE CASCADE,
    created_s INTEGER NOT NULL, batch_id TEXT NOT NULL, attributes TEXT NOT NULL,
    status TEXT NOT NULL, error TEXT NOT NULL, UNIQUE (store_id, file_id));
CREATE INDEX IF NOT EXISTS store_files_by_status ON store_files(status, number);
"""

RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class _Kind(Generic[RecordT]):
    """How one kind of record is read: `made` takes a row of `columns`."""

    what: str
    made: Callable[[Any], RecordT]
    columns: str
    tables: str
    key: str = "id"
    number: str = "number"

    @property
    def select(self) -> str:
        return f"SELECT {self.columns} FROM {self.tables}"


def _store(row: Any) -> VectorStore:
    store_id, tenant, name, metadata, created_s = row
    return VectorStore(store_id, tenant, name, json.loads(metadata), created_s)


def _store_file(row: Any) -> StoreFile:
    store_id, file_id, created_s, batch_id, attributes, *rest = row
    return StoreFile(store_id, file_id, created_s, batch_id, json.loads(attributes), *rest)


_FILES = _Kind(
    "file",
    lambda row: File(*row),
    "id, tenant, name, purpose, size_bytes, created_s",
    "files",
)
_STORES = _Kind("vector store", _store, "id, tenant, name, metadata, created_s", "stores")
_STORE_FILES = _Kind(
    "file of the vector store",
    _store_file,
    "s.store_id, s.file_id, s.created_s, s.batch_id, s.attributes, s.status, s.error, f.name,"
    " f.size_bytes",
    "store_files s JOIN files f ON f.id = s.file_id",
    key="s.file_id",
    number="s.number",
)


_WAITING = f"""
WITH backlog AS (
    SELECT v.tenant, count(*) AS files FROM store_files s JOIN stores v ON v.id = s.store_id
    WHERE s.status = 'in_progress' GROUP BY v.tenant)
{_STORE_FILES.select} JOIN stores v ON v.id = s.store_id JOIN backlog b ON b.tenant = v.tenant
WHERE s.status = 'in_progress' ORDER BY b.files, s.number LIMIT 1"""


class Register:
    """The database in `folder`; its methods take milliseconds at most.

    They raise `Unavailable` where it can't be read or written, such as on a full disk, and
    `NotFound` for what was removed meanwhile; nothing has changed then.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(folder / "register.sqlite", check_same_thread=False)
        with self._changing() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA foreign_keys = ON")
            database.executescript(_SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    # --- files ---------------------------------------------------------------------------------

    def add_file(
        self,
        tenant: str,
        file_id: str,
        name: str,
        purpose: str,
        size_bytes: int,
        most_bytes: float = math.inf,
    ) -> File:
        """Raises `TooLarge` where the tenant's files would have more than `most_bytes`."""
        made = File(file_id, tenant, name, purpose, size_bytes, int(time.time()))
        sum_ = "SELECT coalesce(sum(size_bytes), 0) FROM files WHERE tenant = ?"
        with self._changing() as database:
            (used,) = database.execute(sum_, (tenant,)).fetchone()
            if used + size_bytes > most_bytes:
                raise TooLarge.at(
                    "file",
                    f"{size_bytes} bytes beside {used} of this tenant's other files; at most"
                    f" {most_bytes} are kept",
                )
            database.execute(
                "INSERT INTO files (id, tenant, name, purpose, size_bytes, created_s)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (made.id, tenant, name, purpose, size_bytes, made.created_s),
            )
        return made

    def file(self, tenant: str, file_id: str) -> File:
        """Raises `NotFound`."""
        return self._one(_FILES, "tenant = ? AND id = ?", (tenant, file_id))

    def files(self, tenant: str, page: Page, purpose: str | None = None) -> list[File]:
        where, values = "tenant = ?", [tenant]
        if purpose is not None:
            where, values = where + " AND purpose = ?", [*values, purpose]
        return self._page(_FILES, where, values, page)

    def file_ids(self) -> set[str]:
        """Those of all tenants."""
        return {row[0] for row in self._rows("SELECT id FROM files", ())}

    def remove_file(self, file_id: str) -> None:
        """The file, and its places in vector stores."""
        self._change("DELETE FROM files WHERE id = ?", (file_id,))

    # --- vector stores -------------------------------------------------------------------------

    def add_store(self, tenant: str, name: str, metadata: Mapping[str, str]) -> VectorStore:
        made = VectorStore(new_id("vs"), tenant, name, metadata, int(time.time()))
        self._change(
            "INSERT INTO stores (id, tenant, name, metadata, created_s) VALUES (?, ?, ?, ?, ?)",
            (made.id, tenant, name, json.dumps(dict(metadata)), made.created_s),
        )
        return made

    def store(self, tenant: str, store_id: str) -> VectorStore:
        """Raises `NotFound`."""
        return self._one(_STORES, "tenant = ? AND id = ?", (tenant, store_id))

    def stores(self, tenant: str, page: Page) -> list[VectorStore]:
        return self._page(_STORES, "tenant = ?", [tenant], page)

    def change_store(self, store: VectorStore, name: str, metadata: Mapping[str, str]) -> None:
        self._change(
            "UPDATE stores SET name = ?, metadata = ? WHERE id = ?",
            (name, json.dumps(dict(metadata)), store.id),
        )

    def remove_store(self, store_id: str) -> None:
        self._change("DELETE FROM stores WHERE id = ?", (store_id,))

    # --- files in vector stores ----------------------------------------------------------------

    def attach(
        self, store_id: str, file_id: str, attributes: Mapping[str, Value], batch_id: str = ""
    ) -> StoreFile:
        """The file, waiting to be put into the collection; again, where it is there already."""
        self._change(
            "INSERT OR REPLACE INTO store_files"
            " (store_id, file_id, created_s, batch_id, attributes, status, error)"
            " VALUES (?, ?, ?, ?, ?, 'in_progress', '')",
            (store_id, file_id, int(time.time()), batch_id, json.dumps(dict(attributes))),
        )
        return self.store_file(store_id, file_id)

    def store_file(self, store_id: str, file_id: str) -> StoreFile:
        """Raises `NotFound`."""
        return self._one(_STORE_FILES, "s.store_id = ? AND s.file_id = ?", (store_id, file_id))

    def store_files(
        self, store_id: str, page: Page, status: str | None = None, batch_id: str = ""
    ) -> list[StoreFile]:
        where, values = "s.store_id = ?", [store_id]
        for column, wanted in (("status", status), ("batch_id", batch_id)):
            if wanted:
                where, values = where + f" AND s.{column} = ?", [*values, wanted]
        return self._page(_STORE_FILES, where, values, page)

    def counts(self, store_id: str, batch_id: str = "") -> dict[Status, tuple[int, int]]:
        """Files and bytes by status."""
        rows = self._rows(
            "SELECT s.status, count(*), sum(f.size_bytes) FROM store_files s"
            " JOIN files f ON f.id = s.file_id WHERE s.store_id = ? AND ? IN ('', s.batch_id)"
            " GROUP BY s.status",
            (store_id, batch_id),
        )
        return {status: (files, size_bytes) for status, files, size_bytes in rows}

    def stores_of(self, file_id: str) -> list[str]:
        """Ids of the vector stores that have this file."""
        rows = self._rows("SELECT store_id FROM store_files WHERE file_id = ?", (file_id,))
        return [row[0] for row in rows]

    def waiting(self) -> StoreFile | None:
        """The file that is next: of the tenant that has the fewest, the one that came first."""
        rows = self._rows(_WAITING, ())
        return _store_file(rows[0]) if rows else None

    def finish(self, done: StoreFile, status: Status, error: str = "") -> bool:
        """Say what became of it; False where it was detached or attached again meanwhile."""
        changed = self._change(
            "UPDATE store_files SET status = ?, error = ? WHERE store_id = ? AND file_id = ?"
            " AND status = 'in_progress' AND attributes = ?",
            (status, error, done.store_id, done.file_id, json.dumps(dict(done.attributes))),
        )
        return changed == 1

    def detach(self, store_id: str, file_id: str) -> None:
        self._change(
            "DELETE FROM store_files WHERE store_id = ? AND file_id = ?", (store_id, file_id)
        )

    # --- SQL -----------------------------------------------------------------------------------

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        try:
            with self._lock, self._database:
                yield self._database
        except sqlite3.IntegrityError:
            raise NotFound("the file or its vector store was removed meanwhile") from None
        except sqlite3.Error as error:
            LOG.exception("the register of files")
            raise Unavailable(f"files: their register can't be used: {error}") from error

    def _change(self, statement: str, values: Sequence[Any]) -> int:
        with self._changing() as database:
            return database.execute(statement, values).rowcount

    def _rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._changing() as database:
            return database.execute(statement, values).fetchall()

    def _one(self, kind: _Kind[RecordT], where: str, values: Sequence[str]) -> RecordT:
        rows = self._rows(f"{kind.select} WHERE {where}", values)
        if not rows:
            raise NotFound(f"no {kind.what} {values[-1]!r:.80}; those of this key can be listed")
        return kind.made(rows[0])

    def _page(
        self, kind: _Kind[RecordT], where: str, values: Sequence[str], page: Page
    ) -> list[RecordT]:
        """One record more than the page's limit, if there is one: it tells that there are more."""
        order = "ASC" if page.is_ascending else "DESC"
        conditions, all_values = where, list(values)
        for cursor, is_later in (
            (page.after, page.is_ascending),
            (page.before, not page.is_ascending),
        ):
            if cursor:
                conditions += (
                    f" AND {kind.number} {'>' if is_later else '<'}"
                    f" (SELECT {kind.number} FROM {kind.tables} WHERE {where} AND {kind.key} = ?)"
                )
                all_values += [*values, cursor]
        statement = f"{kind.select} WHERE {conditions} ORDER BY {kind.number} {order} LIMIT ?"
        return [kind.made(row) for row in self._rows(statement, [*all_values, page.limit + 1])]


def new_id(prefix: str) -> str:
    """An id that can't be guessed, such as `vs_3f…`."""
    return f"{prefix}{'-' if prefix == 'file' else '_'}{secrets.token_hex(16)}"
