"""The protocol of stores: collections of documents, each of them passages with embeddings.

Every change is one commit: a search sees the documents as they were before it or after it.
Methods raise `NotFound` for a collection that isn't there, and `Unavailable` when the store itself
fails; nothing has changed then.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import NamedTuple, Protocol

import numpy as np

from ensembles.contracts import DOWN
from python_backends.errors import NotFound, RequestError, Unavailable
from python_backends.stores.filters import BUILT_IN, FieldType, Filter, Value, type_of
from python_backends.tensors import Array

MAX_FIELDS = 64
"""Most metadata fields of a collection."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)


@dataclass(frozen=True)
class Collection:
    """`embedder` names the embedding space (`Manifest.embedding_space`), `dimension` its width.

    `fields` are the metadata that filters can name. Times are seconds of the Unix clock. `fault`
    says why nothing else is known of it.
    """

    name: str
    embedder: str
    dimension: int
    fields: Mapping[str, FieldType] = field(default_factory=dict)
    documents: int = 0
    passages: int = 0
    created_s: float = 0.0
    updated_s: float = 0.0
    size_bytes: int = 0
    fault: str = ""


@dataclass(frozen=True)
class Passage:
    """`page` begins at 1 and is 0 where there are none; `metadata` is a JSON object."""

    text: str
    page: int = 0
    metadata: str = "{}"


@dataclass(frozen=True)
class Document:
    """`embeddings` are FP32 [passages, dimension]."""

    id: str
    passages: Sequence[Passage]
    embeddings: Array
    title: str = ""
    content_hash: str = ""
    metadata: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class PassageRow:
    """A passage as stores keep it: with the fields of its document. `embedding` is FP32
    [dimension]."""

    document: str
    title: str
    content_hash: str
    document_metadata: Mapping[str, Value]
    text: str
    page: int
    passage_metadata: str
    embedding: Array


def whole_documents(rows: Iterable[PassageRow]) -> list[Document]:
    """The documents of rows, which are in the order of documents and passages."""
    return [_joined(list(of)) for _, of in groupby(rows, key=lambda row: row.document)]


def _joined(rows: Sequence[PassageRow]) -> Document:
    first = rows[0]
    return Document(
        first.document,
        [Passage(row.text, row.page, row.passage_metadata) for row in rows],
        np.array([row.embedding for row in rows], np.float32),
        first.title,
        first.content_hash,
        first.document_metadata,
    )


@dataclass(frozen=True)
class DocumentEntry:
    """A document as a list of documents shows it."""

    id: str
    title: str
    content_hash: str
    passages: int
    metadata: Mapping[str, Value]


@dataclass(frozen=True)
class Change:
    """What an upsert or a remove did; `replaced` documents had been there before."""

    documents: int
    passages: int
    replaced: int = 0


class FoundPassage(NamedTuple):
    document: str
    number: int
    title: str
    page: int
    text: str
    passage_metadata: str
    document_metadata: str

    @property
    def id(self) -> str:
        return f"{self.document}#{self.number}"


@dataclass(frozen=True)
class Found:
    """The passages that a search found, each once, in no order.

    `embeddings` are FP32 [passages, dimension]; a store may give their directions alone.
    """

    passages: Sequence[FoundPassage]
    embeddings: Array


class Store(Protocol):
    def collections(self) -> list[Collection]:
        """All collections, by name; those that are damaged with their `fault`."""

    def collection(self, name: str) -> Collection: ...

    def create(self, name: str, embedder: str, dimension: int) -> Collection:
        """An empty collection; raises `RequestError` where there is one of that name."""

    def delete(self, name: str) -> Collection:
        """Delete a collection with its documents; returns what it was."""

    def replace(self, name: str, documents: Sequence[Document]) -> Change:
        """Put documents in the place of those with the same ids, in one commit."""

    def remove(self, name: str, ids: Sequence[str]) -> Change:
        """Remove documents, in one commit; ids that are not there are no error."""

    def documents(self, name: str, after: str, limit: int) -> list[DocumentEntry]:
        """Up to `limit` documents in the order of ids, from the first after the id `after`."""

    def read(self, name: str, ids: Sequence[str]) -> list[Document]:
        """The documents with these ids that are there, whole."""

    def rename(self, name: str, new: str) -> Collection:
        """Give a collection another name, in one step, with its indexes up to date; raises
        `RequestError` where there is one of that name."""

    def search(
        self, collection: Collection, query: str, embedding: Array, wanted: Filter, count: int
    ) -> Found:
        """The `count` passages nearest to `embedding` (FP32 [dimension]), and the `count` best by
        the words of `query`, of documents that fit the filter."""

    def warm(self) -> bool:
        """Load what the first search would wait for. Returns whether all of it is loaded: it is not
        as long as there is no collection."""

    def close(self) -> None: ...


def check_name(name: str) -> str:
    """The name, if a collection may have it; raises `RequestError` otherwise."""
    if not _NAME.fullmatch(name):
        raise RequestError(
            f"collection: '{name[:40]}' given; a name has 1 to 128 of a-z, A-Z, 0-9, '.', '_' and "
            "'-', and begins with a letter or a digit"
        )
    return name


def down(what: str) -> Unavailable:
    """The error of a store that has a fault."""
    return Unavailable(f"{what}; {DOWN}")


def exists_already(collection: Collection) -> RequestError:
    """The error of a name that is taken."""
    return RequestError(
        f"collection: '{collection.name}' exists already, with {collection.documents:,} documents"
    )


def not_found(name: str, names: Sequence[str]) -> NotFound:
    """The error of a collection that isn't there; it names those that are."""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return NotFound(f"collection: there is no '{name}'; there are {shown or 'none yet'}")


def with_fields(collection: Collection, documents: Sequence[Document]) -> dict[str, FieldType]:
    """The fields once the documents are in; each has the type of its first value. Raises
    `RequestError` where types don't fit."""
    fields = dict(collection.fields)
    for document in documents:
        for name, value in document.metadata.items():
            found = type_of(value)
            if (known := fields.setdefault(name, found)) != found:
                raise RequestError(
                    f"documents: '{name}' of '{document.id[:80]}' is {found}; in collection "
                    f"'{collection.name}' it is {known}"
                )
            if name in BUILT_IN or name.startswith("$") or not name:
                raise RequestError(f"documents: a metadata field can't be named '{name[:40]}'")
    if len(fields) > MAX_FIELDS:
        raise RequestError(
            f"documents: {len(fields)} metadata fields in collection '{collection.name}'; at most "
            f"{MAX_FIELDS} are possible"
        )
    return fields
