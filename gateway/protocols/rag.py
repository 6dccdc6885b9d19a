"""The gateway's own `/v1/rag`: answers a question from documents, with sources and citations."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Document, Event, Finished, Generate, Quote, Source, Sources, Text
from gateway.protocols.answer import Answer
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_sampling import SamplingRequest, refuse_but, sampling, usage
from gateway.protocols.reading import Each, Json, read
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import generated

router = APIRouter(tags=["RAG"])


class RagRequest(SamplingRequest):
    """A question and documents, with the sampling fields of OpenAI's API."""

    refused = (*SamplingRequest.refused, ("this model can't", ("logprobs",)))

    model: str = "rag"
    question: str
    documents: Each[DocumentItem] = Field(min_length=1)


def parse(body: Any) -> RagRequest:
    """Raises `BadRequest`."""
    request = read(RagRequest, body)
    refuse_but(request, "n", 1)
    return request


def generate(request: RagRequest) -> Generate:
    """Raises `BadRequest`."""
    return Generate(
        model=request.model,
        prompt=request.question,
        sampling=sampling(request),
        documents=read_documents(request.documents),
        stream=bool(request.stream),
    )


@router.post("/v1/rag", openapi_extra=openapi_body(RagRequest))
async def rag(request: Request) -> Response:
    """Answer a question from documents. A stream has events of type sources, text, finished."""
    wanted = generate(parse(json_body(request)))
    return generated(request, wanted, OPENAI, partial(_answer, wanted), partial(_stream, wanted))


def _answer(asked: Generate, request_id: str, answer: Answer) -> Json:
    return {
        "id": f"rag-{request_id}",
        "object": "rag.answer",
        "model": asked.model,
        "answer": answer.text,
        "sources": _sources(answer.sources, asked.documents),
        **_end(answer),
    }


async def _stream(
    asked: Generate, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    head = {"id": f"rag-{request_id}", "model": asked.model}
    answer = Answer()
    async with aclosing(events):
        async for event in events:
            answer.add(event)
            match event:
                case Sources(sources=sources):
                    found = _sources(sources, asked.documents)
                    yield {**head, "type": "sources", "sources": found}
                case Text(text=text):
                    yield {**head, "type": "text", "text": text}
                case Finished():
                    yield {**head, "type": "finished", **_end(answer)}


def _end(answer: Answer) -> Json:
    end = answer.end
    return {
        "citations": list(end.citations),
        "quotes": [_quote(quote, answer.sources) for quote in end.quotes],
        "grounded": end.grounded,
        "finish_reason": end.reason,
        "usage": usage(end.usage),
    }


def _sources(sources: tuple[Source, ...], documents: tuple[Document, ...]) -> list[Json]:
    """The sources, best first; `citations` and `quotes` refer to them by `number`."""
    return [
        {
            "number": number,
            "text": source.text,
            "document": source.document,
            "id": document_id(documents[source.document], source.document),
            "title": documents[source.document].title,
            "similarity": source.similarity,
            "relevance": source.relevance,
        }
        for number, source in enumerate(sources, start=1)
    ]


def _quote(quote: Quote, sources: tuple[Source, ...]) -> Json:
    document_index = sources[quote.source - 1].document
    return {
        "statement": quote.statement,
        "quote": quote.text,
        "source": quote.source,
        "document": document_index,
    }
