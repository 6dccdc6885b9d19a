"""Cohere's `/v2/chat`, with `documents` and citations; in a stream citations follow the text."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import CallPiece, Event, Generate, Sampling, Usage
from gateway.protocols.answer import Answer, Citation, citations, pieces
from gateway.protocols.cohere_errors import COHERE
from gateway.protocols.cohere_tools import (
    Turn,
    call_end,
    call_events,
    call_item,
    message_of,
    tool_use,
)
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.guides import cohere_format
from gateway.protocols.reading import Body, Each, Json, read, refuse, refuse_thinking
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import generated
from gateway.protocols.tools import FunctionTool, check_results

router = APIRouter(tags=["Cohere"])

FINISH_REASONS = {"stop": "COMPLETE", "length": "MAX_TOKENS", "tool_calls": "TOOL_CALL"}
"""The engine doesn't say whether a stop word ended an answer, so STOP_SEQUENCE never comes."""


class ChatRequest(Body):
    refused = (("the engine gives none", ("logprobs",)),)

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
    tools: Each[FunctionTool] | None = None
    strict_tools: bool | None = None
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    thinking: Any = None


@router.post("/v2/chat", openapi_extra=openapi_body(ChatRequest))
async def chat(request: Request) -> Response:
    """Answer the last message, from the documents if there are some."""
    body = read(ChatRequest, json_body(request))
    wanted = generate(body)
    return generated(request, wanted, COHERE, partial(response, body), partial(stream, body))


def _refuse(request: ChatRequest) -> None:
    if request.tools:
        refuse("strict_tools", request.strict_tools, "arguments are not held to a schema")
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
    messages = [message_of(turn, f"messages.{i}") for i, turn in enumerate(request.messages)]
    check_results(messages, [f"messages.{i}.tool_call_id" for i in range(len(messages))])
    return Generate(
        model=request.model,
        messages=tuple(messages),
        sampling=sampling,
        documents=read_documents(request.documents),
        tool_use=tool_use(request.tools, request.tool_choice),
        guide=cohere_format(request.response_format, "response_format"),
        stream=request.stream,
    )


def response(request: ChatRequest, answer_id: str, answer: Answer) -> Json:
    return {
        "id": answer_id,
        "finish_reason": FINISH_REASONS[answer.stop_reason],
        "message": {
            "role": "assistant",
            **_said(answer),
            **({"citations": found} if (found := cited(request, answer)) else {}),
        },
        "usage": counted(answer.usage),
    }


def _said(answer: Answer) -> Json:
    """The fields of a message with text, with calls, or with both."""
    content = [{"type": "text", "text": answer.text}]
    calls = [call_item(call) for call in answer.calls]
    if not calls:
        return {"content": content}
    return {"tool_calls": calls, **({"content": content} if answer.text else {})}


def cited(request: ChatRequest, answer: Answer) -> list[Json]:
    options = request.citation_options
    if isinstance(options, dict) and str(options.get("mode")).lower() == "off":
        return []
    return [
        _citation(request, answer, found)
        for found in citations(answer, read_documents(request.documents))
    ]


def _citation(request: ChatRequest, answer: Answer, citation: Citation) -> Json:
    """A citation of the answer's sentence, or of the whole answer if the sentence is not found."""
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
    """The source of a citation: the document as it was sent, and its id."""
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
    begun = _content("content-start", {"type": "text", "text": ""})
    async with aclosing(pieces(answer, events)) as found:
        await anext(found)
        start = {"role": "assistant", "content": [], "citations": []}
        yield {"type": "message-start", "id": answer_id, "delta": {"message": start}}
        async for piece in found:
            if isinstance(piece, CallPiece):
                for event in call_events(piece, answer):
                    yield event
                continue
            if answer.text == piece:
                yield begun
            yield _content("content-delta", {"text": piece})
    if answer.calls:
        yield call_end(answer)
    if not answer.parts:
        yield begun
    for index, cites in enumerate(cited(request, answer)):
        yield {"type": "citation-start", "index": index, "delta": {"message": {"citations": cites}}}
        yield {"type": "citation-end", "index": index}
    if answer.text or not answer.calls:
        yield {"type": "content-end", "index": 0}
    end = {"finish_reason": FINISH_REASONS[answer.stop_reason], "usage": counted(answer.usage)}
    yield {"type": "message-end", "id": answer_id, "delta": end}


def _content(kind: str, content: Json) -> Json:
    return {"type": kind, "index": 0, "delta": {"message": {"content": content}}}
