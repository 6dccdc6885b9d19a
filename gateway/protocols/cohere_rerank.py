"""`/v1/rerank` and `/v2/rerank` in the forms of Cohere, Jina and Voyage.

One response has the fields of all three. vLLM's `/rerank` is the same (tei.py passes it on).
"""

from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Rank, Ranked
from gateway.errors import BadRequest
from gateway.protocols.encoders import by_relevance, input_usage, probability
from gateway.protocols.reading import Body, Each, Json, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import single

router = APIRouter(tags=["Cohere", "Jina"])

DEFAULT_TOKENS_PER_DOC = 4096
"""Cohere's default, which some clients always send: more than the model reads of a passage."""


class RerankRequest(Body):
    refused = (("the model scores whole passages", ("relevant_spans",)),)

    model: str
    query: str
    documents: Each[str | dict[str, Any]] = Field(min_length=1)
    top_n: int | None = Field(default=None, ge=1)
    top_k: int | None = Field(default=None, ge=1)
    truncation: bool | None = None
    return_documents: bool | None = None
    max_tokens_per_doc: int | None = None
    rank_fields: Each[str] | None = None


@router.post("/v1/rerank", openapi_extra=openapi_body(RerankRequest))
@router.post("/v2/rerank", openapi_extra=openapi_body(RerankRequest))
async def rerank(request: Request) -> Response:
    """Order documents by relevance to a query."""
    body = read(RerankRequest, json_body(request))
    if body.return_documents is None and not request.url.path.startswith("/v2/"):
        body = body.model_copy(update={"return_documents": True})  # as Jina and vLLM do
    return single(request, rank(body), Ranked, partial(response, body))


def rank(request: RerankRequest) -> Rank:
    """The request to rank; raises `BadRequest`, also for a document without text."""
    if (request.max_tokens_per_doc or DEFAULT_TOKENS_PER_DOC) < DEFAULT_TOKENS_PER_DOC:
        raise BadRequest.at(
            "max_tokens_per_doc",
            f"less than {DEFAULT_TOKENS_PER_DOC} is not offered; passages are "
            "cut where the model's input ends",
        )
    fields = request.rank_fields or ["text"]
    passages = [_text(item, i, fields) for i, item in enumerate(request.documents)]
    return Rank(
        model=request.model,
        query=request.query,
        passages=tuple(passages),
        truncate="none" if request.truncation is False else "end",
    )


def _text(item: str | dict[str, Any], index: int, fields: list[str]) -> str:
    if isinstance(item, str):
        return item
    texts = [item[name] for name in fields if isinstance(item.get(name), str)]
    if not texts:
        where = f"documents.{index}"
        raise BadRequest.at(where, 'no text; "…" or {"text": "…"} is possible')
    return "\n".join(texts)


def response(request: RerankRequest, answer_id: str, ranked: Ranked) -> Json:
    """The response; scores are the `probability` of the model's logits."""
    # Voyage's and Continue's clients read `data`, and none of them sends `top_n`.
    results = [
        {"index": index, "relevance_score": probability(logit), **_document(request, index)}
        for index, logit in by_relevance(ranked.logits, request.top_n or request.top_k)
    ]
    return {
        "id": answer_id,
        "model": request.model,
        "results": results,
        **({"data": results} if request.top_n is None else {}),
        "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
        "usage": {
            **input_usage(ranked.usage),
            "completion_tokens": 0,
        },  # Vercel's Together needs it
    }


def _document(request: RerankRequest, index: int) -> Json:
    if not request.return_documents:
        return {}
    item = request.documents[index]
    return {"document": {"text": item} if isinstance(item, str) else item}
