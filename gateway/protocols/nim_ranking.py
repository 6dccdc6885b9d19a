"""NVIDIA NIM's `/v1/ranking`, as langchain-nvidia-ai-endpoints and nvidia-haystack call it."""

from typing import Any, Literal

from pydantic import Field

from gateway.call import Rank, Ranked
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.ranking import by_relevance
from gateway.protocols.reading import Body, read

Json = dict[str, Any]


class TextItem(Body):
    text: str
    image: Any = None


class RankingRequest(Body):
    model: str
    query: TextItem
    passages: list[TextItem] = Field(min_length=1)
    truncate: Literal["NONE", "END"] = "END"


def parse(body: Any) -> RankingRequest:
    """Raises `BadRequest`."""
    request = read(RankingRequest, body)
    for index, passage in enumerate(request.passages):
        if passage.image is not None:
            where = f"passages.{index}.image"
            raise BadRequest(f"{where}: not offered; the model scores texts", field=where)
    return request


def rank(request: RankingRequest) -> Rank:
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


def error_body(error: GatewayError, request_id: str) -> Json:
    return {
        "object": "error",
        "message": str(error),
        "type": "invalid_request_error" if error.status < 500 else "server_error",
        "detail": {"field": error.field},
        "requestId": request_id,
    }
