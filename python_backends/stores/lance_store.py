"""LanceDB: collections in files of one machine.

A collection is a folder with a table and the file that says which version of it is visible
(`published`). Any number of processes may read. A change takes the lock of the whole store, because
LanceDB loses rows when two processes change a table at once. So two servers may share a folder.
"""

import logging
import shutil
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ensembles.contracts import OVERLOADED
from python_backends.errors import Overloaded, RequestError, Unavailable
from python_backends.stores import lance_index, lance_search, lance_table
from python_backends.stores.filters import NO_FILTER, Filter
from python_backends.stores.lance_faults import faults, unwritable
from python_backends.stores.lance_reader import LanceReader, Read
from python_backends.stores.lance_table import DOCUMENT, ENTRY, NUMBER, VECTOR, WHOLE
from python_backends.stores.lance_tables import OpenTables, limit_arenas, session
from python_backends.stores.locking import WAIT_S, locked
from python_backends.stores.published import Published, read_published, write_published
from python_backends.stores.store import (
    Change,
    Collection,
    Document,
    DocumentEntry,
    Found,
    check_name,
    exists_already,
    not_found,
    whole_documents,
    with_fields,
)
from python_backends.tensors import Array

_DELETED = ".deleted-"
"""Prefix of a collection's folder while it is being removed."""
MEASURED_SHARE = 0.05
"""Changes of a smaller share of the passages don't measure the size; updates of the indexes do."""
SETTLE_S = 5.0
"""Time without a change after which the indexes are brought up to date."""
CLEAN_S = lance_index.KEPT.total_seconds() + SETTLE_S
"""Time until that is done once more, to delete the versions that were kept until then."""
WARMED = 4
"""Collections that are searched when a server starts: the first search of each takes a tenth of a
second, the first one of a process a second."""

_T = TypeVar("_T")
logger = logging.getLogger(__name__)


class LanceStore:
    """Implements `Store` over a folder, which the first collection makes."""

    def __init__(self, folder: Path) -> None:
        limit_arenas()
        self._folder = folder
        self._tables = OpenTables()  # for changes
        self._reader, self._memory = LanceReader(folder), lance_search.Memory(folder)
        self._lock = threading.Lock()
        self._settling: dict[str, threading.Timer] = {}
        self._measured: dict[str, int] = {}
        """Number of passages of each collection when its size was last measured."""

    def collections(self) -> list[Collection]:
        found = (self._listed(name) for name in self._names())
        return [collection for collection in found if collection]

    def collection(self, name: str) -> Collection:
        return self._existing(name).collection

    def create(self, name: str, embedder: str, dimension: int) -> Collection:
        folder = self._folder / check_name(name)
        with self._writing():
            if existing := self._published(name):
                raise exists_already(existing.collection)
            with faults(name):
                shutil.rmtree(folder, ignore_errors=True)  # left by a killed `create`
                folder.mkdir()
                now_s = time.time()
                new = Published(name, embedder, dimension, uuid.uuid4().hex, 1)
                table = self._connect(new).create_table(new.table, schema=lance_table.schema(new))
                lance_index.create(table)
                return self._publish(
                    replace(new, created_s=now_s, updated_s=now_s), table
                ).collection

    def delete(self, name: str) -> Collection:
        with self._writing():
            was = self._listed(check_name(name))
            if was is None:
                raise not_found(name, self._names())
            gone = self._folder / f"{_DELETED}{name}-{uuid.uuid4().hex}"
            with faults(name):
                (self._folder / name).rename(gone)
                shutil.rmtree(gone, ignore_errors=True)
            return was

    def replace(self, name: str, documents: Sequence[Document]) -> Change:
        with self._changing(name) as (before, table):
            fields = with_fields(before.collection, documents)
            published = lance_index.with_columns(before, table, fields)
            new = lance_table.rows(documents, published)
            gone = lance_table.delete(table, [document.id for document in documents])
            table.add(new)
            self._commit(published, table, gone, Change(len(documents), len(new)))
            return Change(len(documents), len(new), gone.documents)

    def remove(self, name: str, ids: Sequence[str]) -> Change:
        with self._changing(name) as (published, table):
            gone = lance_table.delete(table, ids)
            if gone.documents:
                self._commit(published, table, gone, Change(0, 0))
            return gone

    def documents(self, name: str, after: str, limit: int) -> list[DocumentEntry]:
        async def read(published: Published, table: Any) -> list[DocumentEntry]:
            first = f"{NUMBER} = 0 AND {DOCUMENT} > {lance_table.literal(after)}"
            found = await table.query().where(first).select(list(ENTRY)).to_arrow()
            found = found.sort_by(DOCUMENT).slice(0, limit)
            return list(lance_table.entries(found))

        return self._read(name, read)

    def read(self, name: str, ids: Sequence[str]) -> list[Document]:
        async def read(published: Published, table: Any) -> list[Document]:
            these = table.query().where(lance_table.documents_sql(ids))
            found = await these.select([*WHOLE, NUMBER, VECTOR]).to_arrow()
            return whole_documents(lance_table.passage_rows(found, published.dimension))

        return self._read(name, read)

    def rename(self, name: str, new: str) -> Collection:
        folder = self._folder / check_name(new)
        with self._changing(name) as (published, table):
            if existing := self._published(new):
                raise exists_already(existing.collection)
            self._bring_up_to_date(published, table, is_quiet=True)
            shutil.rmtree(folder, ignore_errors=True)  # left by a killed `create`
            (self._folder / name).rename(folder)
        return self.collection(new)

    def search(
        self, collection: Collection, query: str, embedding: Array, wanted: Filter, count: int
    ) -> Found:
        async def read(published: Published, table: Any) -> Found:
            where = lance_table.sql(wanted, published.columns)
            return await lance_search.search(
                table, published, self._memory, query, embedding, where, count
            )

        return self._read(collection.name, read)

    def warm(self) -> bool:
        """Import LanceDB once there is a collection, and search in those that changed last."""
        there = self.collections()
        if there:
            import lancedb  # noqa: F401
        filled = [one for one in there if one.passages]
        for collection in sorted(filled, key=lambda one: -one.updated_s)[:WARMED]:
            anywhere = np.ones(collection.dimension, np.float32)
            with suppress(RequestError):  # damaged, which the log says
                self.search(collection, "a", anywhere, NO_FILTER, 1)
        return bool(filled)

    def close(self) -> None:
        for timer in self._settling.values():
            timer.cancel()
        self._memory.copies.close()
        self._reader.close()

    def _names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        return sorted(p.name for p in self._folder.iterdir() if p.is_dir() and p.name[0] != ".")

    def _listed(self, name: str) -> Collection | None:
        """The collection, with its `fault` if it is damaged; None where there is none."""
        try:
            published = self._published(name)
        except Unavailable as error:
            return Collection(name, "", 0, fault=str(error))
        return published.collection if published else None

    def _published(self, name: str) -> Published | None:
        return read_published(self._folder / name)

    def _existing(self, name: str) -> Published:
        if published := self._published(check_name(name)):
            return published
        raise not_found(name, self._names())

    def _connect(self, published: Published) -> Any:
        import lancedb

        return lancedb.connect(self._folder / published.name, session=session(published))

    def _open(self, published: Published) -> Any:
        """The table, at its newest version."""
        table = self._tables.of(published)
        if table is None:
            table = self._connect(published).open_table(published.table)
            self._tables.keep(published, table)
        return table

    def _read(self, name: str, read: Read[_T]) -> _T:
        """Read at the published version; read again if it was replaced meanwhile."""
        published = self._existing(name)
        try:
            return self._read_version(published, read)
        except Unavailable:
            newer = self._existing(name)
            if newer.version == published.version and newer.table == published.table:
                raise
            return self._read_version(newer, read)

    def _read_version(self, published: Published, read: Read[_T]) -> _T:
        with self._own_lock(), faults(published.name):
            return self._reader.read(published, read)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self._folder, error) from error
        with self._own_lock(), locked(self._folder):
            yield

    @contextmanager
    def _own_lock(self) -> Iterator[None]:
        """The lock of this process: training the index of a large collection may take a minute."""
        if not self._lock.acquire(timeout=WAIT_S):
            raise Overloaded(f"collection: an index is being made; {OVERLOADED}")
        try:
            yield
        finally:
            self._lock.release()

    @contextmanager
    def _changing(self, name: str) -> Iterator[tuple[Published, Any]]:
        """The newest state and its table, to be changed; undoes what a killed writer has left."""
        check_name(name)
        with self._writing():
            published = self._existing(name)
            with faults(name):
                table = self._open(published)
                table.checkout_latest()
                if table.version != published.version:
                    table.restore(published.version)
                yield published, table

    def _commit(self, published: Published, table: Any, gone: Change, came: Change) -> None:
        changed = published.changed(gone, came)
        known = self._measured.get(published.name, 0)
        # Versions that wait have thousands of files, too many to look at in each change.
        self._publish(changed, table, abs(changed.passages - known) > known * MEASURED_SHARE)
        now = (0.0,) if lance_index.is_due(changed) else ()
        self._settle_later(published.name, *now, SETTLE_S, CLEAN_S)

    def _settle_later(self, name: str, delay_s: float, *then_s: float) -> None:
        """Bring the indexes up to date after each of these delays, if no change comes before."""
        if name in self._settling:
            self._settling[name].cancel()
        timer = threading.Timer(delay_s, self._settle, [name, delay_s > 0, then_s])
        timer.daemon = True
        self._settling[name] = timer
        timer.start()

    def _settle(self, name: str, is_quiet: bool, then_s: Sequence[float]) -> None:
        try:
            with self._changing(name) as (published, table):
                self._bring_up_to_date(published, table, is_quiet)
                if then_s:
                    self._settle_later(name, *then_s)
        except RequestError as error:  # deleted meanwhile, or a fault that is in the log
            logger.info("collection '%s' was not brought up to date: %s", name, error)

    def _bring_up_to_date(self, published: Published, table: Any, is_quiet: bool) -> None:
        new = self._publish(lance_index.updated(table, published, is_quiet), table)
        lance_index.clean(table)
        self._publish(new, table)

    def _publish(self, published: Published, table: Any, is_measured: bool = True) -> Published:
        folder, size = self._folder / published.name, published.size_bytes
        if is_measured:
            size = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
            self._measured[published.name] = published.passages
        new = replace(published, version=table.version, size_bytes=size)
        write_published(folder, new)
        return new
