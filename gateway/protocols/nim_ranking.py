"""NVIDIA NIM's `/v1/ranking`, which langchain-nvidia-ai-endpoints and nvidia-haystack call."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Rank, Ranked
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.encoders import by_relevance, input_usage
from gateway.protocols.reading import Body, Each, Json, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import Protocol, single, sse

router = APIRouter(tags=["NVIDIA NIM"])


class TextItem(Body):
    text: str
    image: Any = None


class RankingRequest(Body):
    model: str
    query: TextItem
    passages: Each[TextItem] = Field(min_length=1)
    truncate: Literal["NONE", "END"] = "END"


@router.post("/v1/ranking", openapi_extra=openapi_body(RankingRequest))
@router.post("/v1/retrieval/{name:path}/reranking", openapi_extra=openapi_body(RankingRequest))
async def ranking(request: Request) -> Response:
    """Score passages by relevance to a query. NVIDIA's hosted models have a path each."""
    body = read(RankingRequest, json_body(request))
    return single(request, rank(body), Ranked, response)


def rank(request: RankingRequest) -> Rank:
    """Raises `BadRequest`."""
    for index, passage in enumerate(request.passages):
        if passage.image is not None:
            where = f"passages.{index}.image"
            raise BadRequest.at(where, "not offered; the model scores texts")
    return Rank(
        model=request.model,
        query=request.query.text,
        passages=tuple(passage.text for passage in request.passages),
        truncate=request.truncate.lower(),
    )


def response(_: str, ranked: Ranked) -> Json:
    """The response: logits, best first, because clients cut the list before they sort it."""
    return {
        "rankings": [{"index": i, "logit": logit} for i, logit in by_relevance(ranked.logits)],
        "usage": input_usage(ranked.usage),
    }


def error_body(error: GatewayError) -> Json:
    return {
        "object": "error",
        "message": str(error),
        "type": "invalid_request_error" if error.status < 500 else "server_error",
        "detail": {"field": error.field},
    }


NIM = Protocol(error_body, lambda error: sse(error_body(error)))
