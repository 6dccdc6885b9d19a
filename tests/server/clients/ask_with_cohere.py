"""Chat, embed and rerank by Cohere's own client as it is published: URL, prompt, tokens.

Prints JSON: the answer in each of its ways, and what the client says of requests that are refused.
"""

import asyncio
import json
import sys
from typing import Any

import cohere

url, prompt, tokens = sys.argv[1:]
REQUEST: dict[str, Any] = {
    "model": "llm",
    "messages": [{"role": "user", "content": prompt}],
    "max_tokens": int(tokens),
}
DOCUMENTS = ["The ferry sails at noon.", "Vebra listens on port 8123."]
QUESTION = "Which port does Vebra listen on?"
ASKED: dict[str, Any] = {
    "model": "rag",
    "messages": [{"role": "user", "content": QUESTION}],
    "documents": [{"id": f"page-{i}", "data": {"text": text}} for i, text in enumerate(DOCUMENTS)],
    "max_tokens": 40,
}
client = cohere.ClientV2(api_key="not-needed", base_url=url, max_retries=0)


def streamed(request: dict[str, Any]) -> dict[str, Any]:
    pieces, cited, end = [], [], None
    for event in client.chat_stream(**request):
        match event.type:
            case "content-delta":
                pieces.append(event.delta.message.content.text)
            case "citation-start":
                cited.append(event.delta.message.citations.sources[0].id)
            case "message-end":
                end = event.delta
    return {
        "text": "".join(pieces),
        "reason": end.finish_reason,
        "usage": end.usage.tokens.output_tokens,
        "cited": cited,
    }


def whole(request: dict[str, Any]) -> dict[str, Any]:
    answer = client.chat(**request)
    return {
        "text": answer.message.content[0].text,
        "reason": answer.finish_reason,
        "usage": answer.usage.tokens.output_tokens,
        "cited": [citation.sources[0].id for citation in answer.message.citations or []],
    }


async def whole_async() -> str:
    asynchronous = cohere.AsyncClientV2(api_key="not-needed", base_url=url)
    return (await asynchronous.chat(**REQUEST)).message.content[0].text


def ranked() -> list[int]:
    found = client.rerank(model="rerank", query=QUESTION, documents=DOCUMENTS, top_n=2)
    assert all(0 <= result.relevance_score <= 1 for result in found.results)
    return [result.index for result in found.results]


def embedded() -> list[float]:
    found = client.embed(
        model="embed", texts=[prompt], input_type="search_query", embedding_types=["float"]
    )
    return found.embeddings.float_[0]


def by_the_older_client() -> dict[str, Any]:
    """`cohere.Client`, which asks at `/v1/chat` and `/v1/embed`."""
    older = cohere.Client(api_key="not-needed", base_url=url)
    request: dict[str, Any] = {"model": "llm", "message": prompt, "max_tokens": int(tokens)}
    pages = [{"id": f"page-{i}", "text": text} for i, text in enumerate(DOCUMENTS)]
    rag = older.chat(model="rag", message=QUESTION, documents=pages, max_tokens=40)
    pieces = [e for e in older.chat_stream(**request) if e.event_type == "text-generation"]
    vectors = older.embed(model="embed", texts=[prompt], input_type="search_query").embeddings
    return {
        "text": older.chat(**request).text,
        "pieces": "".join(piece.text for piece in pieces),
        "rag": rag.text,
        "cited": [citation.document_ids[0] for citation in rag.citations or []],
        "embedded": vectors[0],
    }


def refusal(**changes: Any) -> dict[str, Any]:
    try:
        client.chat(**(REQUEST | changes))
    except cohere.core.ApiError as error:
        return {"kind": type(error).__name__, "body": error.body}
    return {}


found = {
    "models": [(model.name, model.endpoints) for model in client.models.list().models],
    "whole": whole(REQUEST),
    "streamed": streamed(REQUEST),
    "whole_async": asyncio.run(whole_async()),
    "rag": whole(ASKED),
    "rag_streamed": streamed(ASKED),
    "ranked": ranked(),
    "embedded": embedded(),
    "older": by_the_older_client(),
    "no_model": refusal(model="command-a"),
    "tools": refusal(tools=[{"type": "function", "function": {"name": "a b"}}]),
}
print(json.dumps(found))
