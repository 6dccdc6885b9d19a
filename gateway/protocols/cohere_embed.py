"""Cohere's `/v2/embed`, and `/v1/embed` of its older clients."""

from functools import partial
from typing import Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Embed, Embedded
from gateway.errors import BadRequest
from gateway.protocols.encoders import encoded, refuse_start
from gateway.protocols.reading import Body, Each, Json, Part, read, text_of
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import single

router = APIRouter(tags=["Cohere"])

INPUT_TYPES = {
    "search_query": "query",
    "search_document": "passage",
    "classification": "text",
    "clustering": "text",
}


class EmbedInput(Body):
    content: Each[Part]


class EmbedRequest(Body):
    refused = (
        ("the model embeds texts", ("images",)),
        ("texts are cut where the model's input ends", ("max_tokens",)),
    )

    model: str
    input_type: str = "search_document"
    texts: Each[str] | None = None
    inputs: Each[EmbedInput] | None = None
    embedding_types: Each[str] | None = None
    output_dimension: int | None = Field(default=None, ge=1)
    truncate: Literal["NONE", "START", "END"] | None = None


@router.post("/v2/embed", openapi_extra=openapi_body(EmbedRequest))
async def embed_texts(request: Request) -> Response:
    """Embed texts."""
    body = read(EmbedRequest, json_body(request))
    return single(request, embed(body), Embedded, partial(response, body))


@router.post("/v1/embed", openapi_extra=openapi_body(EmbedRequest))
async def embed_texts_v1(request: Request) -> Response:
    """Embed texts; without `embedding_types` the embeddings are a plain list."""
    body = read(EmbedRequest, json_body(request))
    return single(request, embed(body), Embedded, partial(response_v1, body))


def _refuse(request: EmbedRequest) -> None:
    if request.input_type not in INPUT_TYPES:
        raise BadRequest.at(
            "input_type",
            f"{request.input_type[:40]!r} given; {', '.join(INPUT_TYPES)} are possible",
        )
    refuse_start(request.truncate)
    for kind in request.embedding_types or ():
        if kind not in ("float", "base64"):
            raise BadRequest.at(
                "embedding_types", f"{kind[:40]!r} given; float and base64 are possible"
            )


def embed(request: EmbedRequest) -> Embed:
    """Raises `BadRequest`."""
    _refuse(request)
    return Embed(
        model=request.model,
        texts=tuple(_texts(request)),
        input_type=INPUT_TYPES[request.input_type],
        truncate=(request.truncate or "END").lower(),
        dimensions=request.output_dimension,
    )


def _texts(request: EmbedRequest) -> list[str]:
    if (not request.texts) == (not request.inputs):
        raise BadRequest("texts, inputs: exactly one of them is needed, not empty", field="texts")
    if request.texts:
        return request.texts
    return [
        text_of(item.content, f"inputs.{i}.content") for i, item in enumerate(request.inputs or ())
    ]


def response(request: EmbedRequest, answer_id: str, embedded: Embedded) -> Json:
    kinds = request.embedding_types or ["float"]
    return {
        "id": answer_id,
        "response_type": "embeddings_by_type",
        "embeddings": {kind: [encoded(row, kind) for row in embedded.rows] for kind in kinds},
        "texts": _texts(request),
        "meta": {
            "api_version": {"version": "2"},
            "billed_units": {"input_tokens": embedded.usage.input_tokens},
        },
    }


def response_v1(request: EmbedRequest, answer_id: str, embedded: Embedded) -> Json:
    found = response(request, answer_id, embedded)
    if request.embedding_types:
        return found
    rows = found["embeddings"]["float"]
    return {**found, "response_type": "embeddings_floats", "embeddings": rows}
