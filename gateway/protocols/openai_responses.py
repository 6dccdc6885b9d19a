"""OpenAI's `/v1/responses`, stateless: what it refers to must be in the request.

`documents` make it a RAG call, as in `/v1/chat/completions`; citations are annotations.
"""

import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from itertools import count
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.call import Event, Usage
from gateway.errors import GatewayError
from gateway.faults import refusal_for
from gateway.protocols.answer import Answer, citations, collect, texts
from gateway.protocols.documents import document_id, read_documents
from gateway.protocols.exchange import Complete, Streaming, document, json_body, new_call, service
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_file_search import (
    RESULTS,
    annotations,
    call_item,
    search_events,
    within,
)
from gateway.protocols.openai_responses_request import ResponsesRequest, generate, messages
from gateway.protocols.reading import read
from gateway.protocols.sse import typed_events

Json = dict[str, Any]

router = APIRouter(tags=["OpenAI"])

STATUSES = {"stop": "completed", "length": "incomplete", "ungrounded": "completed"}


@router.post("/v1/responses", openapi_extra=document(ResponsesRequest))
async def responses(request: Request) -> Response:
    """Answer the last message of the input."""
    body = read(ResponsesRequest, json_body(request))
    call = new_call(request, generate(body, within(body.usable_tools, request)))
    events = service(request).handler(call)
    if body.stream:
        return Streaming(call, typed_events(stream(body, call.request_id, events)), OPENAI)
    return Complete(call, _whole(body, call.request_id, events))


async def _whole(body: ResponsesRequest, name: str, events: AsyncGenerator[Event, None]) -> Json:
    return response(body, name, await collect(events))


# --- responses -----------------------------------------------------------------------------


def response(request: ResponsesRequest, request_id: str, answer: Answer) -> Json:
    """A whole `Response`."""
    status = STATUSES[answer.end.reason]
    is_cut = status == "incomplete"
    return {
        **_response(request, request_id, status),
        "completed_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [
            *_searches(request, request_id, answer),
            _output(request_id, status, [_part(request, answer)]),
        ],
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
        "tool_choice": "auto" if request.usable_tools else "none",
        "tools": request.tools or [],
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


def _searches(request: ResponsesRequest, request_id: str, answer: Answer) -> list[Json]:
    """The output items before the message: the search of a vector store, if there was one."""
    if not request.usable_tools:
        return []
    has_results = RESULTS in (request.include or ())
    return [call_item(request_id, _question(request), answer, has_results)]


def _question(request: ResponsesRequest) -> str:
    *_, last = messages(request)
    return last.content


def _part(request: ResponsesRequest, answer: Answer) -> Json:
    if request.usable_tools:
        return _text_part(answer.text, list(annotations(answer)))
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
        for first in _first_events(request, request_id, answer):
            yield first
        place = _place(request, request_id)
        delta = {"type": "response.output_text.delta", **place, "logprobs": []}
        try:
            async for text in pieces:
                yield {**delta, "delta": text}
        except Exception as error:
            yield _failed_event(request, request_id, refusal_for(error, request_id))
            return
    for last in _last_events(request, request_id, answer):
        yield last


def _place(request: ResponsesRequest, request_id: str) -> Json:
    index = 1 if request.usable_tools else 0
    return {"item_id": f"msg_{request_id}", "output_index": index, "content_index": 0}


def _first_events(request: ResponsesRequest, request_id: str, answer: Answer) -> Iterator[Json]:
    started = _response(request, request_id, "in_progress")
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for done in _searches(request, request_id, answer):
        yield from search_events(done)
    place = _place(request, request_id)
    item, index = _output(request_id, "in_progress", []), place["output_index"]
    yield {"type": "response.output_item.added", "output_index": index, "item": item}
    yield {"type": "response.content_part.added", **place, "part": _text_part("", [])}


def _last_events(request: ResponsesRequest, request_id: str, answer: Answer) -> Iterator[Json]:
    done = response(request, request_id, answer)
    item, place = done["output"][-1], _place(request, request_id)
    (part,) = item["content"]
    for index, annotation in enumerate(part["annotations"]):
        found = {"annotation_index": index, "annotation": annotation}
        yield {"type": "response.output_text.annotation.added", **place, **found}
    yield {"type": "response.output_text.done", **place, "text": answer.text, "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
    index = place["output_index"]
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
    yield {"type": f"response.{done['status']}", "response": done}


def _failed_event(request: ResponsesRequest, request_id: str, error: GatewayError) -> Json:
    code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    failed = _response(request, request_id, "failed")
    failed["error"] = {"code": code, "message": str(error)}
    return {"type": "response.failed", "response": failed}
