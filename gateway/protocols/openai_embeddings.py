"""OpenAI's `/v1/embeddings`, with fields of NIM (`input_type`, `truncate`), Jina and Voyage."""

from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import AliasChoices, Field
from starlette.responses import Response

from ensembles.embed import EMBED
from gateway.call import Embed, Embedded
from gateway.errors import BadRequest
from gateway.protocols.encoders import encoded, input_usage, refuse_start, unit_row
from gateway.protocols.reading import Each, Json, StrictBody, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import single

router = APIRouter(tags=["OpenAI"])

_INPUT_TYPES = {
    **{"query": "query", "passage": "passage", "document": "passage"},
    **{"retrieval.query": "query", "retrieval.passage": "passage"},  # Jina's
}


class EmbeddingsRequest(StrictBody):
    """`input` is a text, texts, a row of token ids, or rows of them."""

    ignored = ("modality", "user")
    refused = (("each text is embedded alone", ("late_chunking",)),)

    model: str = EMBED.contract.name
    """Clients of text-embeddings-inference, such as Milvus, name no model."""
    input: str | Each[str] | Each[int] | Each[Each[int]]
    encoding_format: Literal["float", "base64"] | None = Field(
        "float", validation_alias=AliasChoices("encoding_format", "encoding_type", "embedding_type")
    )
    dimensions: int | None = Field(default=None, ge=0)
    """Length of an embedding; 0, the default of the server Infinity, means all dimensions."""
    input_type: Literal["query", "passage", "document", "text"] | None = None
    task: str | None = None
    """Jina's input type: `retrieval.query` or `retrieval.passage`; other tasks are no search."""
    normalized: bool | None = None
    truncate: Literal["NONE", "START", "END"] | bool | None = None
    # Voyage's
    output_dimension: int | None = Field(default=None, ge=1)
    output_dtype: Literal["float"] | None = None
    truncation: bool | None = None


def parse(body: Any) -> EmbeddingsRequest:
    """Raises `BadRequest`."""
    request = read(EmbeddingsRequest, body)
    refuse_start(str(request.truncate))
    if not request.input:
        raise BadRequest.at("input", "empty; at least one text is needed")
    return request


def embed(request: EmbeddingsRequest) -> Embed:
    texts, rows = _inputs(request.input)
    return Embed(
        model=request.model,
        texts=texts,
        token_ids=rows,
        input_type=_INPUT_TYPES.get(request.input_type or request.task or "", "text"),
        truncate=_truncate(request),
        dimensions=request.dimensions or request.output_dimension,
    )


def _truncate(request: EmbeddingsRequest) -> str:
    if False in (request.truncation, request.truncate):  # Voyage's and Jina's
        return "none"
    return request.truncate.lower() if isinstance(request.truncate, str) else "end"


def _inputs(given: str | list[Any]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
    match given:
        case str():
            return (given,), ()
        case [str(), *_]:
            return tuple(given), ()
        case [int(), *_]:
            return (), (tuple(given),)
    return (), tuple(map(tuple, given))


def response(request: EmbeddingsRequest, request_id: str, embedded: Embedded) -> Json:
    """The response. Mistral's client needs the id, which OpenAI's responses lack."""
    kind = request.encoding_format or "float"
    rows = map(unit_row, embedded.rows) if request.normalized else embedded.rows
    return {
        "id": f"embd-{request_id}",
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": encoded(row, kind)}
            for index, row in enumerate(rows)
        ],
        "model": request.model,
        "usage": input_usage(embedded.usage),
    }


@router.post("/v1/embeddings", openapi_extra=openapi_body(EmbeddingsRequest))
async def embeddings(request: Request) -> Response:
    """Embed texts, or rows of token ids of the embedder."""
    asked = parse(json_body(request))
    return single(request, embed(asked), Embedded, partial(response, asked))
