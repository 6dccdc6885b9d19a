"""OpenAI's `/v1/responses`, without state: all that a request refers to must be in it.

`documents` make it a RAG call, as in `/v1/chat/completions`; citations are annotations.
"""

from dataclasses import replace
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from gateway.protocols.answer import Answer
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_file_search import searched_collection
from gateway.protocols.openai_responses_answer import response
from gateway.protocols.openai_responses_request import ResponsesRequest, generate
from gateway.protocols.openai_responses_stream import stream
from gateway.protocols.reading import read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import generated, typed_sse

router = APIRouter(tags=["OpenAI"])

_TYPED = replace(OPENAI, event=typed_sse)
_COUNTING = {"max_output_tokens": 1, "stream": False}


@router.post("/v1/responses", openapi_extra=openapi_body(ResponsesRequest))
async def responses(request: Request) -> Response:
    """Answer the last message of the input."""
    body = read(ResponsesRequest, json_body(request))
    wanted = generate(body, searched_collection(body.searches, request))
    return generated(request, wanted, _TYPED, partial(response, body), partial(stream, body))


@router.post("/v1/responses/input_tokens", openapi_extra=openapi_body(ResponsesRequest))
async def input_tokens(request: Request) -> Response:
    """Count the tokens of a request by generating one token."""
    body = read(ResponsesRequest, json_body(request)).model_copy(update=_COUNTING)
    wanted = replace(generate(body, searched_collection(body.searches, request)), guide=None)
    free = replace(wanted.tool_use, is_required=False)
    return generated(request, replace(wanted, tool_use=free), OPENAI, _count)


def _count(_: str, answer: Answer) -> dict[str, Any]:
    return {"object": "response.input_tokens", "input_tokens": answer.usage.input_tokens}
