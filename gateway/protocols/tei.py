"""text-embeddings-inference (TEI), of the default models: `/embed`, `/similarity`, `/rerank`.

Hugging Face's own client embeds by `/`. vLLM and Infinity have `/rerank` too, with Cohere's fields.
"""

import operator
from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from ensembles.embed import EMBED
from ensembles.rerank import RERANK
from gateway.call import Embed, Embedded, Event, Rank, Ranked
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.cohere_rerank import ranked_by
from gateway.protocols.exchange import (
    Complete,
    Protocol,
    document,
    json_body,
    new_call,
    one_event,
    service,
)
from gateway.protocols.field_names import as_written
from gateway.protocols.floats import floats, unit
from gateway.protocols.ranking import by_relevance, probability
from gateway.protocols.reading import Body, Each, read
from gateway.protocols.sse import sse

Json = dict[str, Any]

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
    """Those of text-generation-inference, which is asked at `/` too."""
    dimensions: int | None = Field(default=None, ge=1)


class Sentences(Body):
    source_sentence: str
    sentences: Each[str] = Field(min_length=1)


class SimilarityRequest(Body):
    inputs: Sentences
    model: str | None = None


@router.post("/rerank", openapi_extra=document(RerankRequest))
async def rerank(request: Request) -> Response:
    """Order texts, or vLLM's documents, by relevance to a query."""
    given = json_body(request)
    if isinstance(given, dict) and "documents" in given:
        return ranked_by(request)
    body = read(RerankRequest, json_body(request))
    call = new_call(request, rank(body))
    return Complete(call, _ranked(body, service(request).handler(call)))


@router.post("/", openapi_extra=document(EmbedRequest))
@router.post("/embed", openapi_extra=document(EmbedRequest))
async def embed_texts(request: Request) -> Response:
    """Embed texts."""
    body = read(EmbedRequest, json_body(request))
    call = new_call(request, embed(body))
    return Complete(call, _embedded(body, service(request).handler(call)))


@router.post("/similarity", openapi_extra=document(SimilarityRequest))
async def similarity(request: Request) -> Response:
    """The cosine of a sentence with each of the others."""
    body = read(SimilarityRequest, json_body(request))
    texts = (body.inputs.source_sentence, *body.inputs.sentences)
    call = new_call(request, Embed(body.model or EMBED.contract.name, texts))

    async def cosines() -> list[float]:
        found = await one_event(service(request).handler(call), Embedded)
        source, *others = (unit(floats(row)) for row in found.rows)
        return [sum(map(operator.mul, source, other)) for other in others]

    return Complete(call, cosines())


async def _ranked(body: RerankRequest, events: AsyncGenerator[Event, None]) -> list[Json]:
    return rerank_response(body, await one_event(events, Ranked))


async def _embedded(body: EmbedRequest, events: AsyncGenerator[Event, None]) -> list[list[float]]:
    return embed_response(body, await one_event(events, Embedded))


def _refuse_left(request: TeiRequest) -> None:
    if request.truncation_direction.lower() == "left":
        raise BadRequest(
            "truncation_direction: left is not offered; right is", field="truncation_direction"
        )


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
        raise BadRequest("inputs: empty; at least one text is needed", field="inputs")
    if request.parameters is not None:
        raise BadRequest(
            "parameters: no text is generated here; /v1/completions does it", field="parameters"
        )
    if request.prompt_name not in (None, "query", "passage", "document"):
        raise BadRequest(
            "prompt_name: query, passage and document are possible", field="prompt_name"
        )
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


def rerank_response(request: RerankRequest, ranked: Ranked) -> list[Json]:
    return [
        {
            "index": index,
            "score": logit if request.raw_scores else probability(logit),
            **({"text": request.texts[index]} if request.return_text else {}),
        }
        for index, logit in by_relevance(ranked.logits)
    ]


def embed_response(request: EmbedRequest, embedded: Embedded) -> list[list[float]]:
    rows = [floats(row) for row in embedded.rows]
    return [unit(row) for row in rows] if request.normalize else rows


def error_body(error: GatewayError) -> Json:
    message, _ = as_written(error, FIELDS)
    return {"error": message, "error_type": ERROR_TYPES.get(error.status, "Validation")}


TEI = Protocol(error_body, lambda error: sse(error_body(error)))
