"""The documents of a request to `collections`: JSON and tensors, checked."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from python_backends.errors import RequestError
from python_backends.stores.filters import is_value
from python_backends.stores.store import Document, Passage
from python_backends.tensors import Array, Tensors
from python_backends.tokenization import require_text

MAX_ID_CHARACTERS = 1_024
MAX_DOCUMENTS = 10_000
"""Most documents of one request."""

_NUL = re.compile(r"\0")
_NUL_IN_JSON = re.compile(r"\0|(?<!\\)(?:\\\\)*\\u0000")
"""Finds NUL and its JSON escape. A text about JSON may hold these six characters with an escaped
backslash, which is no NUL."""
_FIELDS = {"id": str, "title": str, "content_hash": str, "metadata": dict}


def read_documents(request: Tensors, dimension: int) -> list[Document]:
    """The documents of an upsert with embeddings of `dimension` values; raises `RequestError`."""
    _require(request, "documents", "passages", "passage_document", "passage_embedding")
    _refuse_nul("documents", request.texts("documents"))
    heads = [_head(i, text) for i, text in enumerate(request.texts("documents"))]
    check_ids("documents", [head["id"] for head in heads])
    passages = _passages(request)
    embeddings = _embeddings(request, len(passages), dimension)
    owners = request.array("passage_document")
    _check_owners(owners, len(heads), len(passages))
    documents = []
    for index, head in enumerate(heads):
        own = np.flatnonzero(owners == index)
        documents.append(
            Document(passages=[passages[i] for i in own], embeddings=embeddings[own], **head)
        )
    return documents


def read_ids(request: Tensors) -> list[str]:
    """The documents of a remove; raises `RequestError`."""
    _require(request, "document_ids")
    ids = request.texts("document_ids")
    check_ids("document_ids", ids)
    return ids


def check_ids(name: str, ids: Sequence[str]) -> None:
    """Raises `RequestError` for no or too many ids, and for an empty, too long or repeated one."""
    if not ids or len(ids) > MAX_DOCUMENTS:
        raise RequestError(f"{name}: {len(ids):,} given; 1 to {MAX_DOCUMENTS:,} are possible")
    seen: set[str] = set()
    for index, one in enumerate(ids):
        if not one or len(one) > MAX_ID_CHARACTERS:
            raise RequestError(
                f"{name}[{index}]: an id of {len(one):,} characters; 1 to {MAX_ID_CHARACTERS:,} "
                "are possible"
            )
        if one in seen:
            raise RequestError(f"{name}[{index}]: the id '{one[:80]}' is there twice")
        seen.add(one)


def _refuse_nul(name: str, texts: Sequence[str], nul: re.Pattern[str] = _NUL_IN_JSON) -> None:
    """Refuses NUL characters, which PostgreSQL can't store, also when they are escaped in JSON."""
    for index, text in enumerate(texts):
        if nul.search(text):
            raise RequestError(f"{name}[{index}]: has a NUL character, which can't be stored")


def _require(request: Tensors, *names: str) -> None:
    if missing := [name for name in names if name not in request]:
        raise RequestError(f"{', '.join(missing)}: missing; this operation needs them")


def _head(index: int, text: str) -> dict[str, Any]:
    """The fields of one document."""
    where = f"documents[{index}]"
    given = _object(where, text)
    if unknown := sorted(given.keys() - _FIELDS):
        raise RequestError(f"{where}: no field '{unknown[0][:40]}'; it has {', '.join(_FIELDS)}")
    if "id" not in given:
        raise RequestError(f"{where}: no id; each document needs one")
    for name, value in given.items():
        if not isinstance(value, _FIELDS[name]):
            kind = "an object" if _FIELDS[name] is dict else "text"
            raise RequestError(f"{where}.{name}: {kind} is needed")
    for name, value in given.get("metadata", {}).items():
        if not is_value(value):
            raise RequestError(
                f"{where}.metadata.{name[:40]}: text, a number, true or false is needed"
            )
    return given


def _object(where: str, text: str) -> dict[str, Any]:
    """A JSON object; raises `RequestError` for any other text, and for what only Python accepts:
    NaN, half of a surrogate pair."""
    try:
        given = json.loads(text)
        json.dumps(given, allow_nan=False, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where}: not JSON ({str(error)[:80]})") from error
    if not isinstance(given, dict):
        raise RequestError(f"{where}: an object of JSON is needed")
    return given


def _passages(request: Tensors) -> list[Passage]:
    texts = require_text("passages", request.texts("passages"))
    _refuse_nul("passages", texts, _NUL)
    pages = request.array("passage_page") if "passage_page" in request else np.zeros(len(texts))
    metadata = (
        request.texts("passage_metadata") if "passage_metadata" in request else ["{}"] * len(texts)
    )
    for name, values in (("passage_page", pages), ("passage_metadata", metadata)):
        if len(values) != len(texts):
            raise RequestError(f"{name}: {len(values):,} given for {len(texts):,} passages")
    _refuse_nul("passage_metadata", metadata)
    for index, text in enumerate(metadata):
        _object(f"passage_metadata[{index}]", text)
    return [
        Passage(text, int(page), about)
        for text, page, about in zip(texts, pages, metadata, strict=True)
    ]


def _embeddings(request: Tensors, passages: int, dimension: int) -> Array:
    found = request.array("passage_embedding")
    if found.shape != (passages, dimension):
        raise RequestError(
            f"passage_embedding: shape {list(found.shape)} given; [{passages}, {dimension}] is "
            "needed: a row for each passage, as wide as the collection's embedder makes them"
        )
    if not np.isfinite(found).all():
        raise RequestError("passage_embedding: a value is not a finite number")
    return found


def _check_owners(owners: Array, documents: int, passages: int) -> None:
    if owners.shape != (passages,):
        raise RequestError(f"passage_document: {owners.size:,} given for {passages:,} passages")
    for fault in _owner_faults(owners, documents):
        raise RequestError(fault)


def _owner_faults(owners: Array, documents: int) -> Iterator[str]:
    if wrong := [int(one) for one in owners if not 0 <= one < documents]:
        yield f"passage_document: {wrong[0]} given; documents are 0 to {documents - 1}"
    counts = np.bincount(owners[(owners >= 0) & (owners < documents)], minlength=documents)
    if empty := np.flatnonzero(counts == 0).tolist():
        yield f"documents[{empty[0]}]: no passage; a document without text can't be searched"
