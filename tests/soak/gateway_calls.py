"""Calls to the gateway: the APIs of OpenAI and Anthropic, streamed and not, and a vector store."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx

from builders.spec import ROOT
from tests.chaos.requests import Request, documents, fact, prompt, question, text

FILES = sorted((ROOT / "tests" / "collection").glob("*.md"))[:4]
READY_S = 60.0


def call(path: str, **body: Any) -> Request:
    """A POST of this body."""
    return Request(path, (text("body", json.dumps(body)),))


def chat(prompt_: str, tokens: int, **more: Any) -> Request:
    """Exactly `tokens` tokens."""
    messages = [{"role": "user", "content": prompt_}]
    limits = {"max_tokens": tokens, "min_tokens": tokens, "ignore_eos": True}
    return call("/v1/chat/completions", model="llm", messages=messages, **limits, **more)


def healthy_calls(numbers: Sequence[int], store: str) -> Iterator[Request]:
    """Calls that a healthy server answers; `store` is a vector store."""
    for number in numbers:
        asked = [{"role": "user", "content": question(number)}]
        over = {"model": "rag", "messages": asked, "documents": documents(number)}
        yield chat(prompt(number), 24)
        yield call("/v1/chat/completions", **over, stream=True)
        yield call("/v1/messages", model="llm", messages=asked, max_tokens=16)
        yield call("/v1/messages", model="llm", messages=asked, max_tokens=24, stream=True)
        yield call("/v1/embeddings", model="embed", input=[fact(number)[2]])
    search = {"type": "file_search", "vector_store_ids": [store]}
    for path in FILES:
        query = path.stem.replace("-", " ")
        yield call(f"/v1/vector_stores/{store}/search", query=query)
        for stream in (False, True):
            yield call("/v1/responses", model="rag", input=query, tools=[search], stream=stream)


def faulty_calls() -> tuple[Request, ...]:
    """Calls that must be refused."""
    return (
        chat("a", -1),
        call("/v1/embeddings", model="absent", input="a"),
        call("/v1/messages", model="llm", messages=[], max_tokens=1),
        call("/v1/vector_stores/vs_absent/search", query="a"),
    )


def vector_store(url: str) -> str:
    """The id of a new vector store with `FILES`."""
    with httpx.Client(base_url=f"{url}/v1", timeout=READY_S) as client:
        store = str(client.post("/vector_stores", json={}).json()["id"])
        for path in FILES:
            sent = {"file": (path.name, path.read_bytes())}
            file = client.post("/files", files=sent, data={"purpose": "assistants"}).json()
            client.post(f"/vector_stores/{store}/files", json={"file_id": file["id"]})
        deadline = time.monotonic() + READY_S
        while client.get(f"/vector_stores/{store}").json()["file_counts"]["completed"] < len(FILES):
            assert time.monotonic() < deadline, "the vector store's files were not completed"
            time.sleep(0.5)
        return store
