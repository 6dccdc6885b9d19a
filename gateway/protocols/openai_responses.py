"""OpenAI's `/v1/responses`, without a memory: what it refers to must be in the request.

`documents` make it a RAG call, as in `/v1/chat/completions`; citations are annotations.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import count
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Event, Generate, Message, Sampling, Usage
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.answer import Answer, citations, collect, texts
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.exchange import Complete, Streaming, document, json_body, new_call, service
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.reading import Body, Content, StrictBody, read, refuse_given, text_of
from gateway.protocols.sse import typed_events

Json = dict[str, Any]

router = APIRouter(tags=["OpenAI"])

PARTS = ("input_text", "output_text", "text")
STATUSES = {"stop": "completed", "length": "incomplete", "ungrounded": "completed"}


class Item(Body):
    """A message; an answer's `output` can be sent back as it is."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Content | None = None


class ResponsesRequest(StrictBody):
    """Hints about caching, billing and safety change nothing here."""

    model: str
    input: str | list[Item]
    instructions: str | None = None
    documents: list[DocumentItem] | None = None
    stream: bool | None = False
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    metadata: dict[str, str] | None = None
    text: dict[str, Any] | None = None
    store: bool | None = None
    # refused where they ask for something
    background: bool | None = None
    conversation: Any = None
    include: list[str] | None = None
    max_tool_calls: int | None = None
    moderation: Any = None
    previous_response_id: str | None = None
    prompt: Any = None
    reasoning: dict[str, Any] | None = None
    tools: list[Any] | None = None
    top_logprobs: int | None = None
    context_management: Any = None
    # without an effect
    access_programs: Any = None
    background_options: Any = None
    image: Any = None
    parallel_tool_calls: bool | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    stream_options: Any = None
    tool_choice: Any = None
    truncation: str | None = None
    user: str | None = None


_STORED = ("background", "conversation", "previous_response_id", "prompt", "store")
_NOT_OFFERED = ("context_management", "include", "max_tool_calls", "moderation", "top_logprobs")


@router.post("/v1/responses", openapi_extra=document(ResponsesRequest))
async def responses(request: Request) -> Response:
    """Answer the last message of the input."""
    body = read(ResponsesRequest, json_body(request))
    call = new_call(request, generate(body))
    events = service(request).handler(call)
    if body.stream:
        return Streaming(call, typed_events(stream(body, call.request_id, events)), OPENAI)
    return Complete(call, _whole(body, call.request_id, events))


async def _whole(body: ResponsesRequest, name: str, events: AsyncGenerator[Event, None]) -> Json:
    return response(body, name, await collect(events))


def _refuse(request: ResponsesRequest) -> None:
    refuse_given(request, _STORED, "nothing is stored; send the whole input each time")
    refuse_given(request, ("tools",), "this model calls no tools")
    refuse_given(request, _NOT_OFFERED, "the answer is text alone")
    if request.truncation == "auto":
        raise BadRequest("truncation: auto is not offered; disabled is", field="truncation")
    if (request.reasoning or {}).get("effort") not in (None, "none"):
        raise BadRequest("reasoning.effort: not offered; none is", field="reasoning.effort")
    if ((request.text or {}).get("format") or {"type": "text"}) != {"type": "text"}:
        raise BadRequest("text.format: only text is possible", field="text.format")


def generate(request: ResponsesRequest) -> Generate:
    """Raises `BadRequest`."""
    _refuse(request)
    sampling = Sampling(
        max_tokens=request.max_output_tokens, temperature=request.temperature, top_p=request.top_p
    )
    return Generate(
        model=request.model,
        messages=tuple(_messages(request)),
        sampling=sampling,
        documents=read_documents(request.documents),
        stream=bool(request.stream),
    )


def _messages(request: ResponsesRequest) -> Iterator[Message]:
    if request.instructions:
        yield Message("system", request.instructions)
    if isinstance(request.input, str):
        yield Message("user", request.input)
        return
    if not request.input:
        raise BadRequest("input: empty; a text or a list of messages is needed", field="input")
    for index, item in enumerate(request.input):
        yield _message(f"input.{index}", item)


def _message(field: str, item: Item) -> Message:
    if item.type != "message" or item.role is None or item.content is None:
        raise BadRequest(
            f"{field}: only messages with role and content are possible; nothing is stored, and "
            "this model calls no tools",
            field=field,
        )
    role = "system" if item.role == "developer" else item.role
    return Message(role, text_of(item.content, f"{field}.content", PARTS))


# --- responses -----------------------------------------------------------------------------


def response(request: ResponsesRequest, request_id: str, answer: Answer) -> Json:
    """A whole `Response`."""
    status = STATUSES[answer.end.reason]
    is_cut = status == "incomplete"
    return {
        **_response(request, request_id, status),
        "completed_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [_output(request_id, status, [_part(request, answer)])],
        "usage": _usage(answer.usage),
    }


def _response(request: ResponsesRequest, request_id: str, status: str) -> Json:
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": int(time.time()),
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": False,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": request.temperature,
        "text": {"format": {"type": "text"}},
        "tool_choice": "none",
        "tools": [],
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user,
    }


def _output(request_id: str, status: str, content: list[Json]) -> Json:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def _part(request: ResponsesRequest, answer: Answer) -> Json:
    return _text_part(answer.text, _annotations(request, answer) if request.documents else [])


def _text_part(text: str, annotations: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _annotations(request: ResponsesRequest, answer: Answer) -> list[Json]:
    """One file citation, OpenAI's word for a document, for each sentence that rests on one."""
    documents = read_documents(request.documents)
    return [
        {
            "type": "file_citation",
            "file_id": document_id(documents[found.document], found.document),
            "filename": documents[found.document].title,
            "index": found.statement_span.end if found.statement_span else len(answer.text),
        }
        for found in citations(answer, documents)
    ]


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


# --- streams -------------------------------------------------------------------------------


async def stream(
    request: ResponsesRequest, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events, numbered; raises `GatewayError` before the first, then sends it."""
    numbers = count()
    async with aclosing(_unnumbered(request, request_id, events)) as plain:
        async for event in plain:
            yield {**event, "sequence_number": next(numbers)}


async def _unnumbered(
    request: ResponsesRequest, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    answer = Answer()
    async with aclosing(texts(answer, events)) as pieces:
        await anext(pieces)
        for first in _first_events(request, request_id):
            yield first
        delta = {"type": "response.output_text.delta", **_place(request_id), "logprobs": []}
        try:
            async for text in pieces:
                yield {**delta, "delta": text}
        except GatewayError as error:
            yield _failed_event(request, request_id, error)
            return
    for last in _last_events(request, request_id, answer):
        yield last


def _place(request_id: str) -> Json:
    return {"item_id": f"msg_{request_id}", "output_index": 0, "content_index": 0}


def _first_events(request: ResponsesRequest, request_id: str) -> Iterator[Json]:
    started = _response(request, request_id, "in_progress")
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    item = _output(request_id, "in_progress", [])
    yield {"type": "response.output_item.added", "output_index": 0, "item": item}
    part = _text_part("", [])
    yield {"type": "response.content_part.added", **_place(request_id), "part": part}


def _last_events(request: ResponsesRequest, request_id: str, answer: Answer) -> Iterator[Json]:
    done = response(request, request_id, answer)
    item, place = done["output"][0], _place(request_id)
    (part,) = item["content"]
    for index, annotation in enumerate(part["annotations"]):
        found = {"annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **place, **found}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    yield {"type": "response.output_item.done", "output_index": 0, "item": item}
    yield {"type": f"response.{done['status']}", "response": done}


def _failed_event(request: ResponsesRequest, request_id: str, error: GatewayError) -> Json:
    code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    failed = _response(request, request_id, "failed")
    failed["error"] = {"code": code, "message": str(error)}
    return {"type": "response.failed", "response": failed}
