"""text-embeddings-inference (TEI) with the default models: `/embed`, `/similarity`, `/rerank`.

Hugging Face's own client embeds at `/`. vLLM and Infinity have `/rerank` too, with Cohere's fields.
"""

import operator
from functools import partial
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ensembles.embed import EMBED
from ensembles.rerank import RERANK
from gateway.call import Embed, Embedded, Rank, Ranked
from gateway.errors import BadRequest, GatewayError, as_written
from gateway.protocols import cohere_rerank
from gateway.protocols.encoders import by_relevance, floats, probability, unit
from gateway.protocols.reading import Body, Each, Json, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import Protocol, single, sse

router = APIRouter(tags=["text-embeddings-inference"])

FIELDS = {"input_text": "inputs", "input_ids": "inputs", "passages": "texts"}
ERROR_TYPES = {429: "Overloaded", 502: "Backend", 503: "Overloaded", 504: "Backend"}


class TeiRequest(Body):
    """`truncate` false refuses long texts; without it they are cut (TEI's `--auto-truncate`)."""

    model: str | None = None
    truncate: bool | None = None
    truncation_direction: Literal["left", "right", "Left", "Right"] = "right"

    @property
    def truncation(self) -> str:
        return "none" if self.truncate is False else "end"


class RerankRequest(TeiRequest):
    query: str
    texts: Each[str] = Field(min_length=1)
    raw_scores: bool = False
    return_text: bool = False


class EmbedRequest(TeiRequest):
    inputs: str | Each[str] | Each[Each[int]]
    normalize: bool = True
    prompt_name: str | None = None
    parameters: Any = None
    """Parameters of text-generation-inference, whose clients call `/` too."""
    dimensions: int | None = Field(default=None, ge=1)


class Sentences(Body):
    source_sentence: str
    sentences: Each[str] = Field(min_length=1)


class SimilarityRequest(Body):
    inputs: Sentences
    model: str | None = None


@router.post("/rerank", openapi_extra=openapi_body(RerankRequest))
async def rerank(request: Request) -> Response:
    """Order texts, or vLLM's documents, by relevance to a query."""
    given = json_body(request)
    if isinstance(given, dict) and "documents" in given:
        return await cohere_rerank.rerank(request)
    body = read(RerankRequest, given)
    return single(request, rank(body), Ranked, partial(rerank_response, body))


@router.post("/", openapi_extra=openapi_body(EmbedRequest))
@router.post("/embed", openapi_extra=openapi_body(EmbedRequest))
async def embed_texts(request: Request) -> Response:
    """Embed texts; Hugging Face's clients also ask here how similar sentences are."""
    given = json_body(request)
    if isinstance(given, dict) and isinstance(given.get("inputs"), dict):
        return await similarity(request)
    body = read(EmbedRequest, given)
    return single(request, embed(body), Embedded, partial(embed_response, body))


@router.post("/similarity", openapi_extra=openapi_body(SimilarityRequest))
async def similarity(request: Request) -> Response:
    """The cosine of a sentence with each of the others."""
    body = read(SimilarityRequest, json_body(request))
    texts = (body.inputs.source_sentence, *body.inputs.sentences)
    return single(request, Embed(body.model or EMBED.contract.name, texts), Embedded, _cosines)


def _refuse_left(request: TeiRequest) -> None:
    if request.truncation_direction.lower() == "left":
        raise BadRequest.at("truncation_direction", "left is not offered; right is")


def rank(request: RerankRequest) -> Rank:
    """Raises `BadRequest`."""
    _refuse_left(request)
    return Rank(
        model=request.model or RERANK.contract.name,
        query=request.query,
        passages=tuple(request.texts),
        truncate=request.truncation,
    )


def embed(request: EmbedRequest) -> Embed:
    """Raises `BadRequest`."""
    _refuse_left(request)
    if not request.inputs:
        raise BadRequest.at("inputs", "empty; at least one text is needed")
    if request.parameters is not None:
        raise BadRequest.at("parameters", "no text is generated here; /v1/completions does it")
    if request.prompt_name not in (None, "query", "passage", "document"):
        raise BadRequest.at("prompt_name", "query, passage and document are possible")
    inputs = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    texts = tuple(item for item in inputs if isinstance(item, str))
    return Embed(
        model=request.model or EMBED.contract.name,
        texts=texts,
        token_ids=() if texts else tuple(tuple(row) for row in inputs if not isinstance(row, str)),
        input_type={"query": "query", None: "text"}.get(request.prompt_name, "passage"),
        truncate=request.truncation,
        dimensions=request.dimensions,
    )


def _cosines(_: str, embedded: Embedded) -> list[float]:
    source, *others = (unit(floats(row)) for row in embedded.rows)
    return [sum(map(operator.mul, source, other)) for other in others]


def rerank_response(request: RerankRequest, _: str, ranked: Ranked) -> list[Json]:
    return [
        {
            "index": index,
            "score": logit if request.raw_scores else probability(logit),
            **({"text": request.texts[index]} if request.return_text else {}),
        }
        for index, logit in by_relevance(ranked.logits)
    ]


def embed_response(request: EmbedRequest, _: str, embedded: Embedded) -> list[list[float]]:
    rows = [floats(row) for row in embedded.rows]
    return [unit(row) for row in rows] if request.normalize else rows


def error_body(error: GatewayError) -> Json:
    message, _ = as_written(error, FIELDS)
    return {"error": message, "error_type": ERROR_TYPES.get(error.status, "Validation")}


TEI = Protocol(error_body, lambda error: sse(error_body(error)))
