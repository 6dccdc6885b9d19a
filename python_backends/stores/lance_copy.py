"""A copy of a collection's packed rows, which a search reads by row id.

LanceDB reads each row that it found in a pool of threads, which takes a third of a search. Row ids
come with the rankings at no cost. They are valid until LanceDB moves the rows, which it does when
the indexes are updated; then a new copy is made. Meanwhile LanceDB reads the rows.
"""

import logging
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO, Any

import numpy as np

from python_backends.stores.lance_packed import PACKED
from python_backends.stores.lance_reader import LanceReader
from python_backends.stores.lance_table import ROW_ID
from python_backends.stores.published import Published
from python_backends.tensors import Array

MOST_COPIES = 8
_NO_ROW = np.iinfo(np.uint64).max

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackedCopy:
    """`ids`: UINT64 [rows + 1], ascending; the last one belongs to no row. `starts` and `lengths`,
    in bytes, say where each row is in `file`."""

    ids: Array
    starts: Array
    lengths: Array
    file: IO[bytes]
    """A temporary file without a name: it is deleted with this object."""

    def rows(self, ids: Array, others: dict[int, bytes]) -> list[bytes] | None:
        """The rows with these ids, from here or from `others`; None if one is in neither."""
        places = np.searchsorted(self.ids, ids)
        here = self.ids[places] == ids
        wanted = zip(ids.tolist(), places.tolist(), here.tolist(), strict=True)
        found = [self._row(place) if is_here else others.get(id_) for id_, place, is_here in wanted]
        rows = [row for row in found if row is not None]
        return rows if len(rows) == len(found) else None

    def _row(self, place: int) -> bytes:
        return os.pread(self.file.fileno(), self.lengths[place], self.starts[place])


class PackedCopies:
    """Makes and keeps the copies of the collections that were searched last."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copies: dict[str, PackedCopy] = {}
        """The copies, by the folder of the table."""
        self._making: Thread | None = None
        self._tried: dict[str, int] = {}
        """The version that was copied last, even if that failed, by the folder of the table."""

    def of(self, published: Published) -> PackedCopy | None:
        """The copy of a collection; None if there is none yet: a thread then makes it, one at a
        time."""
        copy = self._copies.get(published.table)
        is_busy = self._making is not None and self._making.is_alive()
        is_new = self._tried.get(published.table) != published.version
        if copy is None and is_new and not is_busy:
            self._tried[published.table] = published.version
            self._making = Thread(target=self._make, args=[published], name="copy", daemon=True)
            self._making.start()
        return copy

    def drop(self, published: Published) -> None:
        """Forget the copy: LanceDB has moved the rows."""
        self._copies.pop(published.table, None)

    def close(self) -> None:
        if self._making:
            self._making.join()

    def _make(self, published: Published) -> None:
        reader = LanceReader(self._folder)
        try:
            copy = reader.read(published, self._copied)
        except Exception as error:  # the disk is full, or the version is gone
            logger.info("collection '%s' is searched without a copy: %s", published.name, error)
            return
        finally:
            reader.close()
        self._copies[published.table] = copy
        if len(self._copies) > MOST_COPIES:
            del self._copies[next(iter(self._copies))]

    async def _copied(self, published: Published, table: Any) -> PackedCopy:
        file = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - closed with the copy
        ids, lengths = [], []
        async for batch in await table.query().select([PACKED]).with_row_id()._inner.execute():
            ids.append(batch[ROW_ID].to_numpy())
            lengths.append(_write(file, batch[PACKED]))
        file.flush()
        all_ids = np.concatenate([*ids, np.array([_NO_ROW], np.uint64)])
        sizes, order = np.concatenate([*lengths, [0]]), np.argsort(all_ids)
        return PackedCopy(all_ids[order], (np.cumsum(sizes) - sizes)[order], sizes[order], file)


def _write(file: IO[bytes], column: Any) -> Array:
    """Append the values of an Arrow column to the file; returns their lengths, INT64 [values]."""
    _, ends, values = column.buffers()
    bounds = np.frombuffer(ends, np.int32)[column.offset :][: len(column) + 1].astype(np.int64)
    file.write(memoryview(values)[bounds[0] : bounds[-1]])
    return np.diff(bounds)
