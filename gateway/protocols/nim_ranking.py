"""NVIDIA NIM's `/v1/ranking`, as langchain-nvidia-ai-endpoints and nvidia-haystack call it."""

from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Event, Rank, Ranked
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.exchange import (
    Complete,
    Protocol,
    document,
    json_body,
    new_call,
    one_event,
    service,
)
from gateway.protocols.ranking import by_relevance
from gateway.protocols.reading import Body, Each, read
from gateway.protocols.sse import sse

Json = dict[str, Any]

router = APIRouter(tags=["NVIDIA NIM"])


class TextItem(Body):
    text: str
    image: Any = None


class RankingRequest(Body):
    model: str
    query: TextItem
    passages: Each[TextItem] = Field(min_length=1)
    truncate: Literal["NONE", "END"] = "END"


@router.post("/v1/ranking", openapi_extra=document(RankingRequest))
@router.post("/v1/retrieval/{name:path}/reranking", openapi_extra=document(RankingRequest))
async def ranking(request: Request) -> Response:
    """Score passages by relevance to a query. NVIDIA's hosted models have a path each."""
    body = read(RankingRequest, json_body(request))
    call = new_call(request, rank(body))
    return Complete(call, _whole(service(request).handler(call)))


async def _whole(events: AsyncGenerator[Event, None]) -> Json:
    return response(await one_event(events, Ranked))


def rank(request: RankingRequest) -> Rank:
    """Raises `BadRequest`."""
    for index, passage in enumerate(request.passages):
        if passage.image is not None:
            where = f"passages.{index}.image"
            raise BadRequest(f"{where}: not offered; the model scores texts", field=where)
    return Rank(
        model=request.model,
        query=request.query.text,
        passages=tuple(passage.text for passage in request.passages),
        truncate=request.truncate.lower(),
    )


def response(ranked: Ranked) -> Json:
    """Logits, best first: clients cut the list before they sort it."""
    tokens = ranked.usage.input_tokens
    return {
        "rankings": [{"index": i, "logit": logit} for i, logit in by_relevance(ranked.logits)],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def error_body(error: GatewayError) -> Json:
    return {
        "object": "error",
        "message": str(error),
        "type": "invalid_request_error" if error.status < 500 else "server_error",
        "detail": {"field": error.field},
    }


NIM = Protocol(error_body, lambda error: sse(error_body(error)))
