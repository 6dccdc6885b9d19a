"""Puts uploaded files into collections: read, cut, embedded and written, one file after the other.

It does the work of `triton-rag ingest`. One thread does it, so that a large file delays no request.
Waiting files are in the register, and a restarted gateway continues with them.
"""

import logging
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
from triton_rag import Client
from triton_rag.collections import Document
from triton_rag.errors import Overloaded, ServerUnreachable, TritonRagError
from triton_rag.ingestion.embedder import Embedder, with_retries
from triton_rag.ingestion.embedding import embed_documents
from triton_rag.ingestion.folder import File
from triton_rag.ingestion.passages import passages
from triton_rag.ingestion.reader_process import ReaderProcess
from triton_rag.ingestion.readers import READABLE, kind
from triton_rag.ingestion.reading import NotRead, ReadFile, Task
from triton_rag.ingestion.refused import refusal

from gateway.errors import NotFound, Unavailable
from gateway.faults import described
from gateway.files.records import StoreFile
from gateway.files.register import Register
from gateway.files.uploads import Texts, Uploads

LOG = logging.getLogger(__name__)

AGAIN_S = 5.0
"""Pause after calls to the models' server have failed."""
CLOSE_S = 5.0
"""How long the current file may delay the end of the gateway."""


class Indexing:
    """The thread that indexes files; it looks for work when it is woken, and ends with `close`."""

    def __init__(self, register: Register, uploads: Uploads, texts: Texts, client: Client) -> None:
        self._register, self._uploads, self._texts = register, uploads, texts
        self._client = client
        self._embedder, self._reader = Embedder(client), ReaderProcess()
        self._has_work, self._is_closed = threading.Event(), threading.Event()
        self._has_work.set()
        self._thread = threading.Thread(target=self._run, name="indexing", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Tell the thread that files were attached."""
        self._has_work.set()

    def close(self) -> None:
        """End after the current file, or after `CLOSE_S` without it; the next start continues."""
        self._is_closed.set()
        self._has_work.set()
        self._thread.join(CLOSE_S)
        self._reader.close()

    def _run(self) -> None:
        while self._has_work.wait() and not self._is_closed.is_set():
            self._has_work.clear()
            while not self._is_closed.is_set() and not self._is_idle():
                pass

    def _is_idle(self) -> bool:
        """Index one file, if one waits; returns whether none does. The file continues to wait while
        the models' server or the register can't be used, such as on a full disk."""
        try:
            if (wanted := self._register.waiting()) is None:
                return True
            self._finish(wanted, self._error_of(wanted))
        except (Overloaded, ServerUnreachable, Unavailable) as away:
            if not self._is_closed.wait(AGAIN_S):
                LOG.warning("files wait: %s", away)
        return False

    def _error_of(self, wanted: StoreFile) -> str:
        """Why the file can't be in the collection; empty if it is there now."""
        try:
            return self._index(wanted)
        except (Overloaded, ServerUnreachable, Unavailable):
            raise
        except TritonRagError as refused:
            return str(refused)
        except FileNotFoundError:
            return "it was removed"
        except Exception as error:  # the thread must outlive every file
            LOG.error("file %s failed: %s", wanted.file_id, described(error))
            return "internal error; the gateway's log says more"

    def _finish(self, wanted: StoreFile, error: str) -> None:
        if error and self._is_closed.is_set():  # the end may have caused it
            return
        if not self._register.finish(wanted, "failed" if error else "completed", error):
            self._forget(wanted)

    def _index(self, wanted: StoreFile) -> str:
        path, name = self._uploads.path(wanted.file_id), wanted.name
        if not kind(name):
            return f"{refusal(name)}; possible: {READABLE}"
        reading = self._reader.read(Task(_file(path, name), "", ""))
        match reading:
            case NotRead(reason=reason):
                return str(reason)
            case ReadFile():
                self._write(wanted, reading)
                self._keep(wanted.file_id, reading.text.text)
        return ""

    def _keep(self, file_id: str, text: str) -> None:
        try:
            self._texts.keep(file_id, text)
        except OSError as error:
            raise Unavailable(f"the text of a file can't be kept: {error.strerror}") from None

    def _write(self, wanted: StoreFile, read: ReadFile) -> None:
        counts = self._embedder.count_tokens(read.words.vocabulary)
        found = tuple(passages(read.text, read.words, counts, self._embedder.passage_tokens))
        about = (wanted.name, read.content_hash, wanted.attributes)
        document = Document(wanted.file_id, found, *about)
        (embedded,) = embed_documents([document], self._embedder.embed)
        rows = np.ascontiguousarray(embedded.embeddings)
        with_retries(partial(self._client.upsert, wanted.store_id, [document], rows))

    def _forget(self, gone: StoreFile) -> None:
        """Remove a file that was detached or cancelled while it was written: no search may find
        it."""
        if not self._register.stores_of(gone.file_id):
            self._texts.remove(gone.file_id)
        with suppress(NotFound):
            if self._register.store_file(gone.store_id, gone.file_id).status == "in_progress":
                return  # attached again, or its attributes were changed: it is written again
        try:
            with_retries(partial(self._client.remove, gone.store_id, [gone.file_id]))
        except TritonRagError as error:  # its collection was deleted, and the file with it
            LOG.info("file %s is not removed: %s", gone.file_id, error)


def _file(path: Path, name: str) -> File:
    about = path.stat()
    return File(path, name, about.st_size, int(about.st_mtime))
