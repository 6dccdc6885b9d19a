"""OpenAI's `/v1/embeddings`, with NIM's `input_type` and `truncate`."""

import base64
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Embed, Embedded
from gateway.errors import BadRequest
from gateway.protocols.exchange import Complete, document, json_body, new_call, one_event, service
from gateway.protocols.floats import floats
from gateway.protocols.reading import StrictBody, read

Json = dict[str, Any]

router = APIRouter(tags=["OpenAI"])


class EmbeddingsRequest(StrictBody):
    """`input` is a text, texts, a row of token ids, or rows of them."""

    model: str
    input: str | list[str] | list[int] | list[list[int]]
    encoding_format: Literal["float", "base64"] | None = "float"
    dimensions: int | None = Field(default=None, ge=1)
    input_type: Literal["query", "passage", "text"] | None = None
    truncate: Literal["NONE", "START", "END"] | None = None
    # without an effect
    modality: Any = None
    user: str | None = None


def parse(body: Any) -> EmbeddingsRequest:
    """Raises `BadRequest`."""
    request = read(EmbeddingsRequest, body)
    if request.truncate == "START":
        raise BadRequest("truncate: START is not offered; NONE and END are", field="truncate")
    if not request.input:
        raise BadRequest("input: empty; at least one text is needed", field="input")
    return request


def embed(request: EmbeddingsRequest) -> Embed:
    texts, rows = _inputs(request.input)
    return Embed(
        model=request.model,
        texts=texts,
        token_ids=rows,
        input_type=request.input_type or "text",
        truncate=(request.truncate or "END").lower(),
        dimensions=request.dimensions,
    )


def _inputs(given: str | list[Any]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    match given:
        case str():
            return (given,), ()
        case [str(), *_]:
            return tuple(given), ()
        case [int(), *_]:
            return (), (tuple(given),)
    return (), tuple(map(tuple, given))


def response(request: EmbeddingsRequest, embedded: Embedded) -> Json:
    encode = _base64 if request.encoding_format == "base64" else floats
    tokens = embedded.usage.input_tokens
    return {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encode(row)}
            for index, row in enumerate(embedded.rows)
        ],
        "model": request.model,
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }


def _base64(row: bytes) -> str:
    return base64.b64encode(row).decode()


@router.post("/v1/embeddings", openapi_extra=document(EmbeddingsRequest))
async def embeddings(request: Request) -> Response:
    """Embed texts, or rows of token ids of the embedder."""
    asked = parse(json_body(request))
    call = new_call(request, embed(asked))

    async def body() -> Json:
        return response(asked, await one_event(service(request).handler(call), Embedded))

    return Complete(call, body())
