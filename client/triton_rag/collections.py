"""Collections: documents that are stored on the server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Value = str | bool | int | float
"""A value of metadata, which filters can ask for."""


@dataclass(frozen=True)
class Collection:
    """What a collection holds; times are seconds of the Unix clock."""

    name: str
    embedder: str
    """The embedder that made its embeddings: a name, and a hash of what they depend on."""
    served_embedder: str
    """The embedder of the server; searches and upserts need the same one."""
    dimension: int
    """Number of values of an embedding."""
    fields: Mapping[str, str]
    """Metadata that filters can name, with their types: text, number or boolean."""
    documents: int
    passages: int
    created_s: float
    updated_s: float
    size_bytes: int
    fault: str = ""
    """Why nothing else is known of it: its files are damaged."""


@dataclass(frozen=True)
class Passage:
    """A slice of a document; searches return whole passages."""

    text: str
    page: int = 0
    """Page of the document, from 1; 0 where it has none."""
    metadata: Mapping[str, object] = field(default_factory=dict)
    """JSON that comes back with the passage as it is, such as its headings and offsets."""


@dataclass(frozen=True)
class Document:
    """A document to put into a collection, in the place of the one with the same id."""

    id: str
    passages: Sequence[Passage]
    """At least one."""
    title: str = ""
    content_hash: str = ""
    """Any text; `documents` returns it, so that a caller can see whether a document has changed."""
    metadata: Mapping[str, Value] = field(default_factory=dict)
    """Fields that filters can name; a field has one type in a collection."""


@dataclass(frozen=True)
class DocumentEntry:
    """A document of a collection, as a list shows it."""

    id: str
    title: str
    content_hash: str
    passages: int
    """Number of its passages."""
    metadata: Mapping[str, Value]


@dataclass(frozen=True)
class Change:
    """What an upsert or a remove did."""

    documents: int
    passages: int
    replaced: int
    """Number of documents that replaced one with the same id."""
