"""Cohere's older `/v1/chat`: one message and a history, changed to a request of `/v2/chat`.

A stream is lines of JSON, not server-sent events.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.call import Event
from gateway.errors import GatewayError
from gateway.protocols.answer import Answer, texts
from gateway.protocols.cohere_chat import FINISH_REASONS, ChatRequest, cited, counted, generate
from gateway.protocols.cohere_errors import error_body
from gateway.protocols.reading import Body, Each, Json, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import Protocol, generated

router = APIRouter(tags=["Cohere"])

_ROLES = {"USER": "user", "CHATBOT": "assistant", "SYSTEM": "system"}


class EarlierTurn(Body):
    role: Literal["USER", "CHATBOT", "SYSTEM"]
    message: str


class ChatRequestV1(Body):
    """The fields that differ from `/v2/chat`; the others are the same."""

    refused = (
        (
            "the model answers the message alone",
            ("connectors", "raw_prompting", "search_queries_only", "tool_results"),
        ),
        ("nothing is stored; send the chat_history", ("conversation_id",)),
    )

    message: str
    stream: bool | None = None
    preamble: str | None = None
    chat_history: Each[EarlierTurn] | None = None


@router.post("/v1/chat", openapi_extra=openapi_body(ChatRequestV1))
async def chat(request: Request) -> Response:
    """Answer the message, from the documents if there are some."""
    body = parse(json_body(request))
    wanted = generate(body)
    return generated(request, wanted, COHERE_V1, partial(response, body), partial(stream, body))


def parse(body: Any) -> ChatRequest:
    """Turns a body into a request of `/v2/chat`; raises `BadRequest`."""
    older = read(ChatRequestV1, body)
    messages = [
        *([{"role": "system", "content": older.preamble}] if older.preamble else []),
        *({"role": _ROLES[t.role], "content": t.message} for t in older.chat_history or ()),
        {"role": "user", "content": older.message},
    ]
    return read(ChatRequest, body | {"messages": messages, "stream": bool(older.stream)})


def response(request: ChatRequest, answer_id: str, answer: Answer) -> Json:
    usage = counted(answer.usage)
    found = cited(request, answer)
    documents = {source["id"]: source["document"] for each in found for source in each["sources"]}
    return {
        "response_id": answer_id,
        "generation_id": answer_id,
        "text": answer.text,
        "finish_reason": FINISH_REASONS[answer.stop_reason],
        "meta": {
            "api_version": {"version": "1"},
            "billed_units": usage["billed_units"],
            "tokens": usage["tokens"],
        },
        **({"citations": [_citation(each) for each in found]} if found else {}),
        **({"documents": list(documents.values())} if documents else {}),
    }


def _citation(found: Json) -> Json:
    place = {name: found[name] for name in ("start", "end", "text")}
    return {**place, "document_ids": [source["id"] for source in found["sources"]]}


async def stream(
    request: ChatRequest, answer_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events; raises `GatewayError`."""
    answer = Answer()
    async with aclosing(texts(answer, events)) as pieces:
        await anext(pieces)
        yield _event("stream-start", generation_id=answer_id)
        async for text in pieces:
            yield _event("text-generation", text=text)
    whole = response(request, answer_id, answer)
    if "citations" in whole:
        yield _event("citation-generation", citations=whole["citations"])
    yield _event("stream-end", True, finish_reason=whole["finish_reason"], response=whole)


def _event(kind: str, is_finished: bool = False, **values: Any) -> Json:
    return {"is_finished": is_finished, "event_type": kind, **values}


def _line(event: Json) -> bytes:
    return orjson.dumps(event) + b"\n"


def _error_event(error: GatewayError) -> bytes:
    failed = {"text": error_body(error)["message"]}
    return _line(_event("stream-end", True, finish_reason="ERROR", response=failed))


COHERE_V1 = Protocol(error_body, _error_event, _line, stream_type="application/stream+json")
