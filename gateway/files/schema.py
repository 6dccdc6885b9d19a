"""The tables of the register, and how their rows are read."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from gateway.files.records import File, StoreFile, VectorStore

SCHEMA = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8")

RecordT = TypeVar("RecordT")


@dataclass(frozen=True)
class Kind(Generic[RecordT]):
    """How one kind of record is read: `made` takes a row of `columns`."""

    what: str
    field: str
    """The field by which a request names such a record."""
    made: Callable[[Any], RecordT]
    columns: str
    tables: str
    listed_by: str = "tenant"
    """The column whose value names the list that a record is in."""
    key: str = "id"
    number: str = "number"

    @property
    def select(self) -> str:
        return f"SELECT {self.columns} FROM {self.tables}"

    @property
    def place(self) -> str:
        """SQL for a record's place in its list, also a former one; its values are list and id,
        twice."""
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
"""The next file: the first that came from the tenant with the fewest waiting files."""
