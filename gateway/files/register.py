"""The register of files and vector stores: one SQLite database, shared by threads.

For a tenant, the records of other tenants do not exist.
"""

import json
import logging
import math
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from gateway.errors import BadRequest, NotFound, TooLarge, Unavailable
from gateway.files.records import File, Page, Status, StoreFile, Value, VectorStore
from gateway.files.schema import FILES, SCHEMA, STORE_FILES, STORES, WAITING, Kind, read_store_file

LOG = logging.getLogger(__name__)

RecordT = TypeVar("RecordT")


class Register:
    """The database in `folder`; its methods take milliseconds at most.

    They raise `Unavailable` if it can't be read or written, such as on a full disk, and `NotFound`
    for a record that was removed meanwhile; nothing has changed then.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        try:
            self._database = sqlite3.connect(folder / "register.sqlite", check_same_thread=False)
        except sqlite3.Error as error:
            raise Unavailable(f"files: their register can't be opened: {error}") from error
        with self._changing() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA foreign_keys = ON")
            database.executescript(SCHEMA)

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
        """Add a file; raises `TooLarge` if the tenant's files would have more than `most_bytes`."""
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
        return self._one(FILES, "tenant = ? AND id = ?", (tenant, file_id))

    def files(self, tenant: str, page: Page, purpose: str | None = None) -> list[File]:
        return self._page(FILES, tenant, page, purpose=purpose)

    def file_ids(self) -> set[str]:
        """The ids of all tenants' files."""
        return {row[0] for row in self._rows("SELECT id FROM files", ())}

    def remove_file(self, file_id: str) -> None:
        """Remove the file, also from vector stores."""
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
        return self._one(STORES, "tenant = ? AND id = ?", (tenant, store_id))

    def stores(self, tenant: str, page: Page) -> list[VectorStore]:
        return self._page(STORES, tenant, page)

    def change_store(self, store: VectorStore, name: str, metadata: Mapping[str, str]) -> None:
        self._change(
            "UPDATE stores SET name = ?, metadata = ? WHERE id = ?",
            (name, json.dumps(dict(metadata)), store.id),
        )

    def remove_store(self, store_id: str) -> None:
        self._change("DELETE FROM stores WHERE id = ?", (store_id,))

    # --- files in vector stores ----------------------------------------------------------------

    def attach_all(
        self, store_id: str, files: Mapping[str, Mapping[str, Value]], batch_id: str = ""
    ) -> None:
        """Add files, by id with their attributes, that wait to be put into the collection, again if
        they are there already. All are added, or none."""
        now_s = int(time.time())
        rows = [(store_id, f, now_s, batch_id, json.dumps(dict(a))) for f, a in files.items()]
        with self._changing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO store_files"
                " (store_id, file_id, created_s, batch_id, attributes, status, error)"
                " VALUES (?, ?, ?, ?, ?, 'in_progress', '')",
                rows,
            )

    def change_attributes(
        self, store_id: str, file_id: str, attributes: Mapping[str, Value]
    ) -> None:
        """Change the attributes; the file is put into the collection again unless cancelled."""
        self._change(
            "UPDATE store_files SET attributes = ?, error = '', status = CASE status"
            " WHEN 'cancelled' THEN status ELSE 'in_progress' END"
            " WHERE store_id = ? AND file_id = ?",
            (json.dumps(dict(attributes)), store_id, file_id),
        )

    def cancel(self, store_id: str, batch_id: str) -> list[str]:
        """Cancel the batch's waiting files; returns their ids."""
        return [
            row[0]
            for row in self._rows(
                "UPDATE store_files SET status = 'cancelled' WHERE store_id = ? AND batch_id = ?"
                " AND status = 'in_progress' RETURNING file_id",
                (store_id, batch_id),
            )
        ]

    def store_file(self, store_id: str, file_id: str) -> StoreFile:
        """Raises `NotFound`."""
        return self._one(STORE_FILES, "s.store_id = ? AND s.file_id = ?", (store_id, file_id))

    def store_files(
        self, store_id: str, page: Page, status: str | None = None, batch_id: str = ""
    ) -> list[StoreFile]:
        return self._page(STORE_FILES, store_id, page, status=status, batch_id=batch_id or None)

    def counts(self, store_id: str, batch_id: str = "") -> dict[Status, tuple[int, int]]:
        """Number of files, and of bytes, by status."""
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
        """The next file: the first that came from the tenant with the fewest waiting files."""
        rows = self._rows(WAITING, ())
        return read_store_file(rows[0]) if rows else None

    def finish(self, done: StoreFile, status: Status, error: str = "") -> bool:
        """Store a file's result; False if it was detached, or attached again, meanwhile."""
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
            why = "the file or its vector store was removed meanwhile"
            raise NotFound(why, field="file_id") from None
        except sqlite3.Error as error:
            LOG.error("the register of files can't be used: %s", error)
            raise Unavailable(f"files: their register can't be used: {error}") from error

    def _change(self, statement: str, values: Sequence[Any]) -> int:
        with self._changing() as database:
            return database.execute(statement, values).rowcount

    def _rows(self, statement: str, values: Sequence[Any]) -> list[Any]:
        with self._changing() as database:
            return database.execute(statement, values).fetchall()

    def _one(self, kind: Kind[RecordT], where: str, values: Sequence[str]) -> RecordT:
        rows = self._rows(f"{kind.select} WHERE {where}", values)
        if not rows:
            missing = f"no {kind.what} {values[-1]!r:.80}; those of this key can be listed"
            raise NotFound(missing, field=kind.field)
        return kind.made(rows[0])

    def _page(
        self, kind: Kind[RecordT], listed: str, page: Page, **wanted: str | None
    ) -> list[RecordT]:
        """Records of the list `listed`: one more than the page's limit if there are more. Raises
        `BadRequest` for a cursor that was never in the list."""
        conditions, values = [f"{kind.listed_by} = ?"], list[str | int]([listed])
        for column, value in wanted.items():
            if value is not None:
                conditions.append(f"{column} = ?")
                values.append(value)
        for name, is_later in (("after", page.is_ascending), ("before", not page.is_ascending)):
            if cursor := getattr(page, name):
                conditions.append(f"{kind.number} {'>' if is_later else '<'} ?")
                values.append(self._place(kind, listed, name, cursor))
        order = "ASC" if page.is_ascending else "DESC"
        where = f"WHERE {' AND '.join(conditions)} ORDER BY {kind.number} {order} LIMIT ?"
        rows = self._rows(f"{kind.select} {where}", [*values, page.limit + 1])
        return [kind.made(row) for row in rows]

    def _place(self, kind: Kind[RecordT], listed: str, field: str, cursor: str) -> int:
        """A record's place in its list, also if it was removed within the last hour."""
        rows = self._rows(kind.place, 2 * (listed, cursor))
        if not rows:
            raise BadRequest.at(field, f"no {kind.what} {cursor!r:.80}; begin the list again")
        return int(rows[0][0])


def new_id(prefix: str) -> str:
    """An id that can't be guessed, such as `vs_3f…`."""
    return f"{prefix}{'-' if prefix == 'file' else '_'}{secrets.token_hex(16)}"
