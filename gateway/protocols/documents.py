"""Reads the `documents` of a chat, in Cohere's and vLLM's form; OpenAI's routes take them too."""

from collections.abc import Sequence
from typing import Any

from gateway.call import Document
from gateway.errors import BadRequest

DocumentItem = str | dict[str, Any]
"""A text; `{"text", "title"?, "id"?}`; or Cohere's `{"data": {…}, "id"?}`."""

_TEXT_KEYS = ("text", "content", "snippet", "contents")


def read_documents(
    items: Sequence[DocumentItem] | None, field: str = "documents"
) -> tuple[Document, ...]:
    """The documents; raises `BadRequest` for one without text."""
    return tuple(_read(item, f"{field}.{i}") for i, item in enumerate(items or ()))


def document_id(document: Document, index: int) -> str:
    """The document's id, or else the one that Cohere gives by position."""
    return document.id or f"doc:{index}"


def _read(item: DocumentItem, field: str) -> Document:
    data = {"text": item} if isinstance(item, str) else item
    inner = data.get("data")
    values = inner if isinstance(inner, dict) else data if inner is None else {"text": inner}
    text = _text(values)
    if not text.strip():
        raise BadRequest.at(field, 'no text; "…" or {"text": "…"} is possible')
    return Document(text, title=_string(values.get("title")), id=_string(data.get("id")))


def _text(values: dict[str, Any]) -> str:
    """The text field; where there is none, every field by name, as Cohere's models read them."""
    for key in _TEXT_KEYS:
        if isinstance(found := values.get(key), str) and found:
            return found
    return "\n".join(
        f"{key}: {value}" for key, value in values.items() if key != "id" and isinstance(value, str)
    )


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""
