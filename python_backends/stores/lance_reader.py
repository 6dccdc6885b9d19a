"""Reads tables of LanceDB at the version that is published, whatever is written meanwhile.

LanceDB is asynchronous inside. Its synchronous interface passes every step of a query to a thread
of its own and back, which takes longer than the step itself when the CPUs are busy.
"""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from python_backends.stores.lance_tables import OpenTables, session
from python_backends.stores.published import Published

_T = TypeVar("_T")

Read = Callable[[Published, Any], Awaitable[_T]]
"""What is read, given the published state and its table (`lancedb.AsyncTable`)."""


class LanceReader:
    """Keeps tables open; for one thread at a time, in which the reading runs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tables = OpenTables()
        self._versions: dict[str, int] = {}
        """The version of each table that is checked out, by the folder's name."""
        self._loop: asyncio.AbstractEventLoop | None = None

    def read(self, published: Published, read: Read[_T]) -> _T:
        """What `read` returns for the published version; raises what LanceDB raises."""
        self._loop = self._loop or asyncio.new_event_loop()
        return self._loop.run_until_complete(self._read(published, read))

    def close(self) -> None:
        if self._loop:
            self._loop.close()

    async def _read(self, published: Published, read: Read[_T]) -> _T:
        table = await self._open(published)
        if self._versions.get(published.table) != published.version:
            await table.checkout(published.version)
            self._versions[published.table] = published.version
        return await read(published, table)

    async def _open(self, published: Published) -> Any:
        import lancedb

        table = self._tables.of(published)
        if table is None:
            folder = self._folder / published.name
            database = await lancedb.connect_async(folder, session=session(published))
            table = await database.open_table(published.table)
            self._tables.keep(published, table)
            self._versions.pop(published.table, None)
        return table
