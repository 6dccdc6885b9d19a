"""Describes the calls about collections as data, as `calls` does for the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from triton_rag.arguments import (
    SEARCH_TYPES,
    filter_tensors,
    option_tensors,
    text_tensor,
    texts_tensor,
)
from triton_rag.calls import Call, read_sources
from triton_rag.collections import Change, Collection, Document, DocumentEntry
from triton_rag.results import Source
from triton_rag.wire import Tensor, make_request

T = TypeVar("T")


def search_call(
    question: str, collection: str, options: Mapping[str, object]
) -> Call[list[Source]]:
    """A call that finds the best passages of a collection; `options`: `CollectionOptions`."""
    rest = dict(options)
    tensors = [
        text_tensor("question", question),
        text_tensor("collection", collection),
        *filter_tensors(rest.pop("filter", None)),
        *option_tensors(rest, SEARCH_TYPES),
    ]
    return Call((make_request("search", tensors),), lambda found: list(read_sources(found[0])))


def collection_call(operation: str, name: str) -> Call[Collection]:
    """A call of the `operation` `create`, `delete` or `describe`."""
    return _call(operation, name, [], lambda found: Collection(**found))


def list_call() -> Call[list[Collection]]:
    return _call(
        "list", None, [], lambda found: [Collection(**one) for one in found["collections"]]
    )


def documents_call(name: str, after: str, limit: int) -> Call[list[DocumentEntry]]:
    tensors = [text_tensor("after", after), *option_tensors({"limit": limit}, {"limit": "INT32"})]
    return _call(
        "documents", name, tensors, lambda found: [DocumentEntry(**d) for d in found["documents"]]
    )


def remove_call(name: str, ids: Sequence[str]) -> Call[Change]:
    tensor = texts_tensor("document_ids", ids)
    return _call("remove", name, [tensor], lambda found: Change(**found))


def upsert_call(
    name: str, documents: Sequence[Document], embeddings: NDArray[np.float32]
) -> Call[Change]:
    """A call that upserts documents; raises ValueError unless each passage has an embedding."""
    passages = [passage for document in documents for passage in document.passages]
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or len(rows) != len(passages):
        raise ValueError(
            f"embeddings: shape {list(rows.shape)} given; a row is needed for each of the "
            f"{len(passages)} passages"
        )
    owners = [index for index, document in enumerate(documents) for _ in document.passages]
    tensors = [
        texts_tensor("documents", [_head(document) for document in documents]),
        texts_tensor("passages", [passage.text for passage in passages]),
        Tensor("passage_document", "INT32", owners),
        Tensor("passage_embedding", "FP32", rows),
        Tensor("passage_page", "INT32", [passage.page for passage in passages]),
        texts_tensor("passage_metadata", [_json(passage.metadata) for passage in passages]),
    ]
    return _call("upsert", name, tensors, lambda found: Change(**found))


def _call(
    operation: str, name: str | None, tensors: Sequence[Tensor], read: Callable[[Any], T]
) -> Call[T]:
    first = [text_tensor("operation", operation)]
    if name is not None:
        first.append(text_tensor("collection", name))
    request = make_request("collections", [*first, *tensors])
    return Call((request,), lambda found: read(json.loads(found[0].text("result"))))


def _head(document: Document) -> str:
    return _json(
        {
            "id": document.id,
            "title": document.title,
            "content_hash": document.content_hash,
            "metadata": dict(document.metadata),
        }
    )


def _json(value: Mapping[str, object]) -> str:
    return json.dumps(dict(value), ensure_ascii=False)
