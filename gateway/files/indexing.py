"""Puts uploaded files into collections: read, cut, embedded and written, one file after the other.

The work is that of `triton-rag ingest`. One thread does it, so that a large file holds up no
request; what waits is in the register, and a restart goes on with it.
"""

import logging
import threading
from functools import partial
from pathlib import Path

import numpy as np
from triton_rag import Client
from triton_rag.collections import Document
from triton_rag.errors import Overloaded, ServerUnreachable, TritonRagError
from triton_rag.ingestion.embedder import Embedder, patiently
from triton_rag.ingestion.embedding import embed_documents
from triton_rag.ingestion.folder import File
from triton_rag.ingestion.passages import passages
from triton_rag.ingestion.reader_process import ReaderProcess
from triton_rag.ingestion.readers import SUFFIXES
from triton_rag.ingestion.reading import NotRead, ReadFile, Task

from gateway.errors import Unavailable
from gateway.files.records import StoreFile
from gateway.files.register import Register
from gateway.files.uploads import Uploads

LOG = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Pause after the models' server was away for longer than a call waits."""


class Indexing:
    """The thread; it looks for work when it is woken, and ends with `close`."""

    def __init__(self, register: Register, uploads: Uploads, client: Client) -> None:
        self._register, self._uploads, self._client = register, uploads, client
        self._embedder, self._reader = Embedder(client), ReaderProcess()
        self._has_work, self._is_closed = threading.Event(), threading.Event()
        self._has_work.set()
        self._thread = threading.Thread(target=self._run, name="indexing", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something was attached."""
        self._has_work.set()

    def close(self) -> None:
        """Ends after the file at hand; what waits goes on with the next start."""
        self._is_closed.set()
        self._has_work.set()
        self._thread.join()
        self._reader.close()

    def _run(self) -> None:
        while self._has_work.wait() and not self._is_closed.is_set():
            self._has_work.clear()
            while not self._is_closed.is_set() and (next_file := self._register.waiting()):
                if not self._is_done(next_file):
                    self._is_closed.wait(AGAIN_S)

    def _is_done(self, wanted: StoreFile) -> bool:
        """False where the models' server or the register is away: the file waits on."""
        try:
            error = self._index(wanted)
        except (Overloaded, ServerUnreachable) as away:
            LOG.warning("file %s waits: %s", wanted.file_id, away)
            return False
        except TritonRagError as refused:
            error = str(refused)
        except Exception:  # the thread must outlive every file
            LOG.exception("file %s failed", wanted.file_id)
            error = "internal error; the gateway's log says more"
        try:
            is_finished = self._register.finish(wanted, "failed" if error else "completed", error)
        except Unavailable:  # such as on a full disk: it is done again
            return False
        if not is_finished:
            self._forget(wanted)
        return True

    def _index(self, wanted: StoreFile) -> str:
        """Why the file can't be in the collection; empty if it is there now."""
        path, name = self._uploads.path(wanted.file_id), self._uploads.name(wanted.file_id)
        if Path(name).suffix.lower() not in SUFFIXES:
            return f"its type '{Path(name).suffix}' can't be read; possible: {', '.join(SUFFIXES)}"
        reading = self._reader.read(Task(_file(path, name), "", ""))
        match reading:
            case NotRead(reason=reason):
                return str(reason)
            case ReadFile():
                self._write(wanted, name, reading)
        return ""

    def _write(self, wanted: StoreFile, name: str, read: ReadFile) -> None:
        counts = self._embedder.count_tokens(read.words.vocabulary)
        found = tuple(passages(read.text, read.words, counts, self._embedder.passage_tokens))
        document = Document(wanted.file_id, found, name, read.content_hash, wanted.attributes)
        (embedded,) = embed_documents([document], self._embedder.embed)
        rows = np.ascontiguousarray(embedded.embeddings)
        patiently(partial(self._client.upsert, wanted.store_id, [document], rows))

    def _forget(self, gone: StoreFile) -> None:
        """It was detached while it was being written, so it must not be found."""
        if any(store == gone.store_id for store in self._register.stores_of(gone.file_id)):
            return  # attached again: it will be written again
        try:
            self._client.remove(gone.store_id, [gone.file_id])
        except TritonRagError as error:  # its collection is gone, which is what was wanted
            LOG.info("file %s is not removed: %s", gone.file_id, error)


def _file(path: Path, name: str) -> File:
    about = path.stat()
    return File(path, name, about.st_size, int(about.st_mtime))
