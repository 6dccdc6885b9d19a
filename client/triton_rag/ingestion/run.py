"""Ingests a folder: it reads, cuts, embeds and writes; each of these runs ahead of the next."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from triton_rag.client import Client
from triton_rag.collections import Document
from triton_rag.ingestion.ahead import map_ahead
from triton_rag.ingestion.embedder import Embedder
from triton_rag.ingestion.embedding import EmbeddedDocument, embed_documents
from triton_rag.ingestion.folder import MAX_FILE_BYTES, Folder, IngestError, Skipped, list_folder
from triton_rag.ingestion.passages import passages
from triton_rag.ingestion.reader_process import ReaderProcesses
from triton_rag.ingestion.readers import INSTALL_OCR, READABLE, kind
from triton_rag.ingestion.reading import NotRead, ReadFile, Task, Unchanged
from triton_rag.ingestion.report import IngestReport
from triton_rag.ingestion.target import Target

RECIPE = "21"
"""Raise it when readers, cuts or embedded texts change, so that the next run reads every file
again."""
WRITES_AHEAD = 2

OnProgress = Callable[[IngestReport], None]


@dataclass(frozen=True)
class IngestOptions:
    """How to ingest a folder."""

    under: str = ""
    """Ids of documents are `under/path`; only documents that were ingested with it are removed."""
    passage_tokens: int | None = None
    """Longest passage, in the embedder's tokens; by default as long as the server's own."""
    max_file_bytes: int = MAX_FILE_BYTES
    processes: int | None = None
    """Processes that read files; by default one fewer than the machine's cores, at most four."""
    commit_passages: int = 1024
    """A commit has about this many passages: documents are never divided."""
    commit_s: float = 3.0
    """After this time embedded documents are written even if they are fewer, to show progress."""
    by_ocr: bool = False
    """Whether OCR reads pages without text, and pictures, which takes seconds per page."""
    is_dry_run: bool = False
    replaces_others: bool = False
    """Continue also if none of the collection's documents is in the folder, so that all of them are
    removed, or if some are another folder's."""


def ingest(
    client: Client,
    folder: Path | str,
    collection: str,
    options: IngestOptions = IngestOptions(),
    on_progress: OnProgress = lambda report: None,
) -> IngestReport:
    """Make a collection mirror a folder: new files are added, changed ones replaced whole, and
    documents whose files are gone are removed. Unchanged files are not embedded again.

    A search sees a document as it was or as it is, never a mixture. Documents in the report are
    stored even if the call fails later; the same call then continues with the rest. `on_progress`
    is called with the report so far; after a page with OCR that is in another thread. Raises
    `IngestError` and `TritonRagError`.
    """
    if options.by_ocr and find_spec("rapidocr") is None:
        raise IngestError(f"OCR is asked for, and its package is not installed: {INSTALL_OCR}")
    begin_s = time.monotonic()
    found = list_folder(
        Path(folder), lambda name: bool(kind(name, options.by_ocr)), options.max_file_bytes
    )
    run = _Run(client, found, Target(client, collection, options.under), options, on_progress)
    with closing(run.readers):
        run.check()
        run.add()
        run.remove()
    run.report.seconds = time.monotonic() - begin_s
    return run.report


class _Run:
    def __init__(
        self,
        client: Client,
        folder: Folder,
        target: Target,
        options: IngestOptions,
        on_progress: OnProgress,
    ) -> None:
        self._folder, self._target, self._options = folder, target, options
        self._embedder, self._on_progress = Embedder(client), on_progress
        self._counting = threading.Lock()
        self.readers = ReaderProcesses(options.processes, self._count_page)
        self._stored: Mapping[str, str] = {}
        self._sizes = {target.document_id(f.name): f.size_bytes for f in folder.files}
        self.report = IngestReport(
            target.collection,
            is_dry_run=options.is_dry_run,
            files=len(folder.files),
            size_bytes=sum(file.size_bytes for file in folder.files),
            skipped=list(folder.skipped),
        )

    def check(self) -> None:
        """Raises `IngestError` if the collection would lose all of its documents, or some that were
        ingested from another folder."""
        self._stored = self._target.hashes()
        if not self._folder.files:
            rest = f" ({len(self._folder.skipped):,} skipped)" if self._folder.skipped else ""
            raise IngestError(f"no file in the folder can be read{rest}; possible: {READABLE}")
        if self._options.replaces_others:
            return
        if taken := sorted(self._sizes.keys() & self._target.others):
            raise IngestError(
                f"collection '{self._target.collection}' has {len(taken):,} of these documents "
                f"from another folder, such as '{taken[0]}': give one of the folders another name "
                "with --under NAME; to replace the documents, --replace"
            )
        if self._stored and not self._sizes.keys() & self._stored.keys():
            raise IngestError(
                f"collection '{self._target.collection}' has {len(self._stored):,} documents, and "
                "none of them is in the folder: is it another one? To keep both give this one a "
                "name with --under NAME; to remove the others, --replace"
            )

    def add(self) -> None:
        """Reads every file, and writes what is new or changed."""
        readings = map_ahead(
            self.readers.read, self._tasks(), self.readers.count, self.readers.ahead
        )
        changed = self._changed(readings)
        if self._options.is_dry_run:
            for reading in changed:
                self._count(self._target.document_id(reading.file.name), 0)
            return
        self._target.create()
        documents = embed_documents(self._cut(changed), self._embedder.embed)
        batches = _batches(documents, self._options.commit_passages, self._options.commit_s)
        for batch in map_ahead(self._target.write, batches, 1, WRITES_AHEAD):
            for each in batch:
                self._count(each.document.id, len(each.document.passages))

    def remove(self) -> None:
        """Removes the documents whose files are gone."""
        there = {file.name for file in self._folder.files}
        there |= {skipped.name for skipped in self._folder.skipped}
        names = {document_id: self._target.name(document_id) for document_id in self._stored}
        gone = [
            document_id
            for document_id, name in names.items()
            if name not in there and self._folder.knows(name)
        ]
        if not self._options.is_dry_run:
            self._target.remove(gone)
        self.report.removed = len(gone)

    def _tasks(self) -> Iterator[Task]:
        recipe = f"{RECIPE} {self._max_tokens}"
        for file in self._folder.files:
            stored = self._stored.get(self._target.document_id(file.name), "")
            yield Task(file, stored, recipe, self._options.by_ocr)

    @property
    def _max_tokens(self) -> int:
        return self._options.passage_tokens or self._embedder.passage_tokens

    def _changed(self, readings: Iterable[object]) -> Iterator[ReadFile]:
        for reading in readings:
            match reading:
                case ReadFile():
                    name = reading.file.name
                    self.report.remarks += [Skipped(name, r) for r in reading.text.remarks]
                    yield reading
                case Unchanged(file):
                    self.report.unchanged += 1
                    self._count_bytes(file.size_bytes)
                case NotRead(file, reason):
                    self.report.skipped.append(Skipped(file.name, reason))
                    self._count_bytes(file.size_bytes)

    def _cut(self, readings: Iterable[ReadFile]) -> Iterator[Document]:
        for each in readings:
            counts = self._embedder.count_tokens(each.words.vocabulary)
            found = passages(each.text, each.words, counts, self._max_tokens)
            yield self._target.document(each, tuple(found))

    def _count_page(self) -> None:
        with self._counting:
            self.report.ocr_pages += 1
            self._on_progress(self.report)

    def _count(self, document_id: str, passage_count: int) -> None:
        is_new = document_id not in self._stored
        self.report.added += is_new
        self.report.replaced += not is_new
        self.report.passages += passage_count
        self._count_bytes(self._sizes[document_id])

    def _count_bytes(self, size_bytes: int) -> None:
        self.report.read_bytes += size_bytes
        self._on_progress(self.report)


def _batches(
    documents: Iterable[EmbeddedDocument], passage_count: int, wait_s: float
) -> Iterator[list[EmbeddedDocument]]:
    """Batches of documents with `passage_count` passages or more, or of `wait_s` seconds."""
    batch: list[EmbeddedDocument] = []
    count, begin_s = 0, time.monotonic()
    for document in documents:
        batch.append(document)
        count += len(document.document.passages)
        if count >= passage_count or time.monotonic() - begin_s >= wait_s:
            yield batch
            batch, count, begin_s = [], 0, time.monotonic()
    if batch:
        yield batch
