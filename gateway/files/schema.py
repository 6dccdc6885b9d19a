"""The tables of the register, and how their rows are read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from gateway.files.records import File, StoreFile, VectorStore

SCHEMA = """
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

-- Where a record was in its list. A client that deletes what it lists asks for what comes after the
-- record that it has just deleted.
CREATE TABLE IF NOT EXISTS removed (
    list TEXT NOT NULL, id TEXT NOT NULL, number INTEGER NOT NULL, removed_s INTEGER NOT NULL,
    PRIMARY KEY (list, id));
CREATE INDEX IF NOT EXISTS removed_by_time ON removed(removed_s);
CREATE TRIGGER IF NOT EXISTS removed_for_an_hour AFTER INSERT ON removed BEGIN
    DELETE FROM removed WHERE removed_s < new.removed_s - 3600; END;
CREATE TRIGGER IF NOT EXISTS files_removed AFTER DELETE ON files BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.tenant, old.id, old.number, strftime('%s', 'now')); END;
CREATE TRIGGER IF NOT EXISTS stores_removed AFTER DELETE ON stores BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.tenant, old.id, old.number, strftime('%s', 'now')); END;
CREATE TRIGGER IF NOT EXISTS store_files_removed AFTER DELETE ON store_files BEGIN
    INSERT OR REPLACE INTO removed
    VALUES (old.store_id, old.file_id, old.number, strftime('%s', 'now')); END;
"""

RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Kind(Generic[RecordT]):
    """How one kind of record is read: `made` takes a row of `columns`."""

    what: str
    field: str
    """What a request names it by."""
    made: Callable[[Any], RecordT]
    columns: str
    tables: str
    listed_by: str = "tenant"
    """The column whose value is the name of a record's list."""
    key: str = "id"
    number: str = "number"

    @property
    def select(self) -> str:
        return f"SELECT {self.columns} FROM {self.tables}"

    @property
    def place(self) -> str:
        """Selects where a record is, or was, in its list; by list and id, twice."""
        return (
            f"SELECT {self.number} FROM {self.tables}"
            f" WHERE {self.listed_by} = ? AND {self.key} = ?"
            " UNION ALL SELECT number FROM removed WHERE list = ? AND id = ?"
        )


def read_store(row: Any) -> VectorStore:
    store_id, tenant, name, metadata, created_s = row
    return VectorStore(store_id, tenant, name, json.loads(metadata), created_s)


def read_store_file(row: Any) -> StoreFile:
    store_id, file_id, created_s, batch_id, attributes, *rest = row
    return StoreFile(store_id, file_id, created_s, batch_id, json.loads(attributes), *rest)


FILES = Kind(
    "file",
    "file_id",
    lambda row: File(*row),
    "id, tenant, name, purpose, size_bytes, created_s",
    "files",
)
STORES = Kind(
    "vector store", "vector_store_id", read_store, "id, tenant, name, metadata, created_s", "stores"
)
STORE_FILES = Kind(
    "file of the vector store",
    "file_id",
    read_store_file,
    "s.store_id, s.file_id, s.created_s, s.batch_id, s.attributes, s.status, s.error, f.name,"
    " f.size_bytes",
    "store_files s JOIN files f ON f.id = s.file_id",
    listed_by="s.store_id",
    key="s.file_id",
    number="s.number",
)

WAITING = f"""
WITH backlog AS (
    SELECT v.tenant, count(*) AS files FROM store_files s JOIN stores v ON v.id = s.store_id
    WHERE s.status = 'in_progress' GROUP BY v.tenant)
{STORE_FILES.select} JOIN stores v ON v.id = s.store_id JOIN backlog b ON b.tenant = v.tenant
WHERE s.status = 'in_progress' ORDER BY b.files, s.number LIMIT 1"""
"""The file that is next: of the tenant that has the fewest, the one that came first."""
