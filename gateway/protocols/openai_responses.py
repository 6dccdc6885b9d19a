"""OpenAI's `/v1/responses`, stateless: what it refers to must be in the request.

`documents` make it a RAG call, as in `/v1/chat/completions`; citations are annotations.
"""

from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.call import Event
from gateway.protocols.answer import collect
from gateway.protocols.exchange import Complete, Streaming, document, json_body, new_call, service
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_file_search import (
    within,
)
from gateway.protocols.openai_responses_answer import response
from gateway.protocols.openai_responses_request import ResponsesRequest, generate
from gateway.protocols.openai_responses_stream import stream
from gateway.protocols.reading import read
from gateway.protocols.sse import typed_events

Json = dict[str, Any]

router = APIRouter(tags=["OpenAI"])


@router.post("/v1/responses", openapi_extra=document(ResponsesRequest))
async def responses(request: Request) -> Response:
    """Answer the last message of the input."""
    body = read(ResponsesRequest, json_body(request))
    call = new_call(request, generate(body, within(body.searches, request)))
    events = service(request).handler(call)
    if body.stream:
        return Streaming(call, typed_events(stream(body, call.request_id, events)), OPENAI)
    return Complete(call, _whole(body, call.request_id, events))


async def _whole(body: ResponsesRequest, name: str, events: AsyncGenerator[Event, None]) -> Json:
    return response(body, name, await collect(events))
