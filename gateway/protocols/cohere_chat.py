"""Cohere's `/v2/chat`, with `documents` and citations; citations come behind the text."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Event, Generate, Message, Sampling, Usage
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer, Citation, citations, collect, texts
from gateway.protocols.cohere_errors import COHERE
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.exchange import Complete, Streaming, document, json_body, new_call, service
from gateway.protocols.reading import (
    Body,
    Content,
    Each,
    read,
    refuse_given,
    refuse_thinking,
    refuse_tools,
    text_of,
)
from gateway.protocols.sse import DONE, typed_events

Json = dict[str, Any]

router = APIRouter(tags=["Cohere"])

FINISH_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "ungrounded": "COMPLETE"}
"""The engine doesn't say whether a stop word ended an answer, so STOP_SEQUENCE never comes."""


class Turn(Body):
    role: Literal["user", "assistant", "system"]
    content: Content


class ChatRequest(Body):
    model: str
    messages: Each[Turn] = Field(min_length=1)
    documents: Each[DocumentItem] | None = None
    citation_options: Any = None
    stream: bool = False
    max_tokens: int | None = Field(default=None, ge=1)
    stop_sequences: Each[str] | None = None
    temperature: float | None = Field(default=None, ge=0)
    seed: int | None = Field(default=None, ge=0)
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    k: int | None = Field(default=None, ge=0)
    p: float | None = Field(default=None, ge=0, le=1)
    tools: list[Any] | None = None
    strict_tools: bool | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    logprobs: bool | None = None
    thinking: Any = None


@router.post("/v2/chat", openapi_extra=document(ChatRequest))
async def chat(request: Request) -> Response:
    """Answer the last message, from the documents if there are some."""
    body = read(ChatRequest, json_body(request))
    call = new_call(request, generate(body))
    events = service(request).handler(call)
    if body.stream:
        chunks = typed_events(stream(body, call.request_id, events), DONE)
        return Streaming(call, chunks, COHERE)
    return Complete(call, _whole(body, call.request_id, events))


async def _whole(body: ChatRequest, name: str, events: AsyncGenerator[Event, None]) -> Json:
    return response(body, name, await collect(events))


def _refuse(request: ChatRequest) -> None:
    refuse_tools(request, ("tools", "strict_tools", "tool_choice"), request.tool_choice)
    refuse_given(request, ("logprobs",), "the engine gives none")
    if (request.response_format or {}).get("type", "text") != "text":
        raise BadRequest("response_format: only text is possible", field="response_format")
    refuse_thinking(request.thinking)


def generate(request: ChatRequest) -> Generate:
    """Raises `BadRequest`."""
    _refuse(request)
    sampling = Sampling(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_k=request.k,
        top_p=request.p,
        presence_penalty=request.presence_penalty,
        frequency_penalty=request.frequency_penalty,
        seed=request.seed,
        stop_words=tuple(request.stop_sequences or ()),
    )
    messages = (
        Message(turn.role, text_of(turn.content, f"messages.{i}.content"))
        for i, turn in enumerate(request.messages)
    )
    return Generate(
        model=request.model,
        messages=tuple(messages),
        sampling=sampling,
        documents=read_documents(request.documents),
        stream=request.stream,
    )


def response(request: ChatRequest, answer_id: str, answer: Answer) -> Json:
    return {
        "id": answer_id,
        "finish_reason": FINISH_REASONS[answer.end.reason],
        "message": {
            "role": "assistant",
            "content": [{"type": "text", "text": answer.text}],
            **({"citations": found} if (found := cited(request, answer)) else {}),
        },
        "usage": counted(answer.usage),
    }


def cited(request: ChatRequest, answer: Answer) -> list[Json]:
    options = request.citation_options
    if isinstance(options, dict) and str(options.get("mode")).lower() == "off":
        return []
    return [
        _citation(request, answer, found)
        for found in citations(answer, read_documents(request.documents))
    ]


def _citation(request: ChatRequest, answer: Answer, citation: Citation) -> Json:
    """What is cited is the answer's sentence; all of the answer, should it not be found."""
    span = citation.statement_span
    return {
        "start": span.start if span else 0,
        "end": span.end if span else len(answer.text),
        "text": answer.text[span.start : span.end] if span else citation.statement,
        "sources": [_source(request, citation.document)],
        "content_index": 0,
        "type": "TEXT_CONTENT",
    }


def _source(request: ChatRequest, index: int) -> Json:
    """The document as it was sent, and its id."""
    item = (request.documents or [])[index]
    sent = {"text": item} if isinstance(item, str) else item.get("data", item)
    values = sent if isinstance(sent, dict) else {"text": sent}
    name = document_id(read_documents([item])[0], index)
    return {"type": "document", "id": name, "document": {**values, "id": name}}


def counted(usage: Usage) -> Json:
    tokens = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
    return {"billed_units": tokens, "tokens": tokens, "cached_tokens": usage.cached_tokens}


async def stream(
    request: ChatRequest, answer_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events; raises `GatewayError`."""
    answer = Answer()
    async with aclosing(texts(answer, events)) as pieces:
        await anext(pieces)
        start = {"role": "assistant", "content": [], "citations": []}
        yield {"type": "message-start", "id": answer_id, "delta": {"message": start}}
        yield _content("content-start", {"type": "text", "text": ""})
        async for text in pieces:
            yield _content("content-delta", {"text": text})
    for index, found in enumerate(cited(request, answer)):
        yield {"type": "citation-start", "index": index, "delta": {"message": {"citations": found}}}
        yield {"type": "citation-end", "index": index}
    yield {"type": "content-end", "index": 0}
    end = {"finish_reason": FINISH_REASONS[answer.end.reason], "usage": counted(answer.usage)}
    yield {"type": "message-end", "id": answer_id, "delta": end}


def _content(kind: str, content: Json) -> Json:
    return {"type": kind, "index": 0, "delta": {"message": {"content": content}}}
