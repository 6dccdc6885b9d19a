"""Documents in Anthropic's messages, and citations with their places in characters."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field

from gateway.call import Document
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer, Citation, citations
from gateway.protocols.reading import Body, Each, Json, Part, StrictBody, text_of


class BlockPart(Part):
    """A text, document, search result, call or its result; other types are refused by name."""

    title: str | None = None
    context: str | None = None
    source: Any = None
    content: str | Each[Part] | None = None
    citations: Any = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None


class Turn(Body):
    role: Literal["user", "assistant", "system"]
    content: str | Each[BlockPart]


class Conversation(StrictBody):
    """Fields that all requests have."""

    model: str
    messages: Each[Turn] = Field(min_length=1)


def read_documents(turns: Sequence[Turn]) -> list[tuple[Document, bool]]:
    """Documents of all messages in order, and whether each wants citations.

    Raises `BadRequest` for a document that is no text.
    """
    return [
        (_document(f"messages.{i}.content.{j}", part), _wants_citations(part))
        for i, turn in enumerate(turns)
        if not isinstance(turn.content, str)
        for j, part in enumerate(turn.content)
        if part.type in ("document", "search_result")
    ]


def _wants_citations(part: BlockPart) -> bool:
    return isinstance(part.citations, dict) and part.citations.get("enabled") is True


def _document(field: str, part: BlockPart) -> Document:
    if part.type == "search_result":
        text = text_of(part.content or [], f"{field}.content")
    else:
        text = _source_text(part.source, f"{field}.source")
    if not text.strip():
        raise BadRequest.at(field, "empty; a text is needed")
    return Document(text, title=part.title or "")


def _source_text(source: Any, field: str) -> str:
    match source:
        case {"type": "text", "data": str(text)} | {"type": "content", "content": str(text)}:
            return text
        case {"type": "content", "content": list(parts)}:
            texts = [part.get("text") for part in parts if isinstance(part, dict)]
            if len(texts) == len(parts) and all(isinstance(text, str) for text in texts):
                return "\n".join(map(str, texts))
    raise BadRequest.at(
        field,
        '{"type": "text", "media_type": "text/plain", "data": "…"} is possible; files '
        "and images are not read",
    )


def cited(turns: Sequence[Turn], answer: Answer) -> list[Json]:
    """The answer's citations, in Anthropic's form, of the documents that want citations."""
    documents = read_documents(turns)
    return [
        _char_location(citation, documents[citation.document][0])
        for citation in citations(answer, [document for document, _ in documents])
        if documents[citation.document][1]
    ]


def _char_location(citation: Citation, document: Document) -> Json:
    """The place of the quote, or the whole document if it is not found there."""
    span = citation.quote_span
    return {
        "type": "char_location",
        "cited_text": document.text[span.start : span.end] if span else citation.quote,
        "document_index": citation.document,
        "document_title": document.title or None,
        "file_id": None,
        "start_char_index": span.start if span else 0,
        "end_char_index": span.end if span else len(document.text),
    }
