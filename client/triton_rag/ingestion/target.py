"""The collection that a folder is ingested into, or the part of it under a name."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np

from triton_rag.client import Client
from triton_rag.collections import Document, Passage, Value
from triton_rag.errors import InvalidRequest
from triton_rag.ingestion.embedder import with_retries
from triton_rag.ingestion.embedding import EmbeddedDocument
from triton_rag.ingestion.folder import IngestError
from triton_rag.ingestion.readers import kind
from triton_rag.ingestion.reading import ReadFile
from triton_rag.listing import all_documents

UNDER, FOLDER, TYPE, MODIFIED = "under", "folder", "type", "modified_s"
"""Metadata of a document, which filters can name."""
REMOVED_AT_ONCE = 1_000


class Target:
    """Ids of documents are paths below the folder, after `under/` if that is given."""

    def __init__(self, client: Client, collection: str, under: str = "") -> None:
        """Raises `IngestError` for an `under` with empty parts, `.` or `..`."""
        self._client, self.collection, self._under = client, collection, under.strip("/")
        self._is_there = False
        self.others: set[str] = set()
        """Ids of documents from other folders, as `hashes` has found them."""
        if under and not {"", ".", ".."}.isdisjoint(self._under.split("/")):
            raise IngestError(
                f"--under '{under}': a name such as manuals or manuals/2024 is needed, without "
                "'.', '..' and empty parts"
            )

    def hashes(self) -> dict[str, str]:
        """The content hashes of the documents by id; empty if there is no such collection.

        Raises `IngestError` for a damaged collection, and for one that another embedder made than
        the server's.
        """
        there = {one.name: one for one in with_retries(self._client.collections)}
        if self.collection not in there:
            return {}
        self._is_there, about = True, there[self.collection]
        if about.fault:
            raise IngestError(f"collection '{about.name}': {about.fault}")
        if about.embedder != about.served_embedder:
            raise IngestError(
                f"collection '{about.name}' was made with the embedder {about.embedder}; the "
                f"server has {about.served_embedder}: choose another name, or delete the collection"
            )
        entries = with_retries(lambda: list(all_documents(self._client, self.collection)))
        ours = [entry for entry in entries if entry.metadata.get(UNDER, "") == self._under]
        found = {entry.id: entry.content_hash for entry in ours}
        self.others = {entry.id for entry in entries} - found.keys()
        return found

    def create(self) -> None:
        """Make the collection if `hashes` has found none; another ingest may make it first."""
        if self._is_there:
            return
        try:
            with_retries(partial(self._client.create_collection, self.collection))
        except InvalidRequest as error:
            if self.collection not in {one.name for one in with_retries(self._client.collections)}:
                raise error

    def document_id(self, name: str) -> str:
        return f"{self._under}/{name}" if self._under else name

    def name(self, document_id: str) -> str:
        return document_id.removeprefix(f"{self._under}/") if self._under else document_id

    def document(self, read: ReadFile, passages: Sequence[Passage]) -> Document:
        folder = read.file.name.rpartition("/")[0]
        about: dict[str, Value] = {
            UNDER: self._under,
            FOLDER: folder,
            TYPE: kind(read.file.name, by_ocr=True).removeprefix("."),
            MODIFIED: read.file.modified_s,
        }
        document_id = self.document_id(read.file.name)
        return Document(document_id, passages, read.text.title, read.content_hash, about)

    def write(self, batch: Sequence[EmbeddedDocument]) -> Sequence[EmbeddedDocument]:
        """Put documents into the collection, in one commit, and return them once they are there."""
        documents = [each.document for each in batch]
        rows = np.concatenate([each.embeddings for each in batch])
        with_retries(partial(self._client.upsert, self.collection, documents, rows))
        return batch

    def remove(self, ids: Sequence[str]) -> None:
        for start in range(0, len(ids), REMOVED_AT_ONCE):
            portion = ids[start : start + REMOVED_AT_ONCE]
            with_retries(partial(self._client.remove, self.collection, portion))
