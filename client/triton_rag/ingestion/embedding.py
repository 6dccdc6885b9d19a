"""Embeds the passages of documents, several requests at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from triton_rag.collections import Document, Passage
from triton_rag.ingestion.ahead import map_ahead

ROWS = 256
"""Passages in one request; they may be from several documents."""
FIRST_PART = 16
"""The first request has `ROWS` divided by this, and each next one twice as many."""
IN_FLIGHT = 4
"""Requests at a time, so that the server has the next one when it has finished one."""

MAX_CONTEXT = 200
"""Most characters of title and headings that are embedded with a passage."""

Embed = Callable[[Sequence[str]], NDArray[np.float32]]


@dataclass(frozen=True)
class EmbeddedDocument:
    """`embeddings`: FP32 [passages, dimension]."""

    document: Document
    embeddings: NDArray[np.float32]


def embed_documents(
    documents: Iterable[Document], embed: Embed, rows: int = ROWS, in_flight: int = IN_FLIGHT
) -> Iterator[EmbeddedDocument]:
    """The documents with their embeddings, in order.

    A request has up to `rows` passages, from any number of documents, so that small documents keep
    the embedder as busy as large ones.
    """
    waiting: deque[Document] = deque()
    texts = _texts(documents, waiting)
    found: list[NDArray[np.float32]] = []
    count = 0
    for embeddings in map_ahead(embed, _portions(texts, rows), in_flight, in_flight):
        found.append(embeddings)
        count += len(embeddings)
        while waiting and count >= len(waiting[0].passages):
            done, rest = np.split(np.concatenate(found), [len(waiting[0].passages)])
            found, count = [rest], len(rest)
            yield EmbeddedDocument(waiting.popleft(), done)


def in_context(title: str, passage: Passage) -> str:
    """The passage below its title and headings, which name its subject (decision 0085)."""
    headings = passage.metadata.get("headings")
    path = dict.fromkeys([title, *(headings if isinstance(headings, list) else ())])
    return f"{' > '.join(filter(None, path))[:MAX_CONTEXT]}\n{passage.text}"


def _texts(documents: Iterable[Document], waiting: deque[Document]) -> Iterator[str]:
    """The texts to embed of all documents; a document joins `waiting` before its first text."""
    for document in documents:
        waiting.append(document)
        yield from (in_context(document.title, passage) for passage in document.passages)


def _portions(texts: Iterator[str], rows: int) -> Iterator[list[str]]:
    """The texts in portions. The first are small, so that the embedder soon has work."""
    size = -(-rows // FIRST_PART)
    while portion := list(islice(texts, size)):
        yield portion
        size = min(2 * size, rows)
