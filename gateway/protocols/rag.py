"""Our own `/v1/rag`: a question and documents to an answer with its sources and citations."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Call, Document, Event, Finished, Generate, Quote, Source, Sources, Text
from gateway.protocols.answer import Answer, collect
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.exchange import (
    Complete,
    Streaming,
    document,
    json_body,
    new_call,
    service,
)
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_sampling import (
    Json,
    SamplingRequest,
    refuse_but,
    sampling,
    usage,
)
from gateway.protocols.reading import Each, read, refuse_given
from gateway.protocols.sse import sse

router = APIRouter(tags=["RAG"])


class RagRequest(SamplingRequest):
    """Sampling as in OpenAI's API."""

    model: str = "rag"
    question: str
    documents: Each[DocumentItem] = Field(min_length=1)


def parse(body: Any) -> RagRequest:
    """Raises `BadRequest`."""
    request = read(RagRequest, body)
    refuse_given(request, ("logit_bias", "logprobs"), "this model can't")
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


@router.post("/v1/rag", openapi_extra=document(RagRequest))
async def rag(request: Request) -> Response:
    """Answer a question from documents. A stream has events of type sources, text, finished."""
    asked = parse(json_body(request))
    wanted = generate(asked)
    call = new_call(request, wanted)
    events = service(request).handler(call)
    if asked.stream:
        return Streaming(call, _stream(call, wanted, events), OPENAI)
    return Complete(call, _answer(call, wanted, events))


async def _answer(call: Call, asked: Generate, events: AsyncGenerator[Event, None]) -> Json:
    async with aclosing(events):
        answer = await collect(events)
    return {
        "id": f"rag-{call.request_id}",
        "object": "rag.answer",
        "model": asked.model,
        "answer": answer.text,
        "sources": _sources(answer.sources, asked.documents),
        **_end(answer),
    }


async def _stream(
    call: Call, asked: Generate, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[bytes, None]:
    head = {"id": f"rag-{call.request_id}", "model": asked.model}
    answer = Answer()
    async with aclosing(events):
        async for event in events:
            answer.add(event)
            match event:
                case Sources(sources=sources):
                    found = _sources(sources, asked.documents)
                    yield sse({**head, "type": "sources", "sources": found})
                case Text(text=text):
                    yield sse({**head, "type": "text", "text": text})
                case Finished():
                    yield sse({**head, "type": "finished", **_end(answer)})


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
    """Best first; `number` is what `citations` and `quotes` call it."""
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
