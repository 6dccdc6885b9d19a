"""BentoML: adaptive batching of requests, its request timeout raised so that no load hits it."""

import os
import sys

import bentoml
from pydantic import BaseModel

from tests.bench.peers.models import MAX_BATCH_REQUESTS, Models

THREADS, WORKERS = (
    int(os.environ.get("PEER_THREADS", "2")),
    int(os.environ.get("PEER_WORKERS", "1")),
)
MAX_LATENCY_MS = 120_000
"""Above what a batch takes under any load here: at less, BentoML answers 503."""


class Texts(BaseModel):
    """One `embed` request."""

    texts: list[str]


class Query(BaseModel):
    """One `rerank` request."""

    query: str
    passages: list[str]


class Question(BaseModel):
    """One `rag` request."""

    question: str
    passages: list[str]


class Embeddings(BaseModel):
    """A row a text."""

    embeddings: list[list[float]]


class Relevance(BaseModel):
    """A logit a passage."""

    relevance: list[float]


class Answer(BaseModel):
    """The LLM's, and its first source."""

    answer: str
    source: str


@bentoml.service(
    workers=WORKERS,
    traffic={"timeout": 300, "max_concurrency": 1000},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
class Peer:
    """A batchable method takes a list; each client sends a list of one."""

    def __init__(self) -> None:
        self._models = Models(THREADS)

    @bentoml.api(
        batchable=True, max_batch_size=MAX_BATCH_REQUESTS["embed"], max_latency_ms=MAX_LATENCY_MS
    )
    def embed(self, requests: list[Texts]) -> list[Embeddings]:
        found = self._models.answer("embed", [request.model_dump() for request in requests])
        return [Embeddings(**one) for one in found]

    @bentoml.api(
        batchable=True, max_batch_size=MAX_BATCH_REQUESTS["rerank"], max_latency_ms=MAX_LATENCY_MS
    )
    def rerank(self, requests: list[Query]) -> list[Relevance]:
        found = self._models.answer("rerank", [request.model_dump() for request in requests])
        return [Relevance(**one) for one in found]

    @bentoml.api(
        batchable=True, max_batch_size=MAX_BATCH_REQUESTS["rag"], max_latency_ms=MAX_LATENCY_MS
    )
    def rag(self, requests: list[Question]) -> list[Answer]:
        found = self._models.answer("rag", [request.model_dump() for request in requests])
        return [Answer(**one) for one in found]


if __name__ == "__main__":
    port, workers, threads = sys.argv[1:4]
    os.environ |= {
        "PEER_WORKERS": workers, "PEER_THREADS": threads, "BENTOML_DO_NOT_TRACK": "True",
    }  # fmt: skip
    command = ["-m", "bentoml", "serve", "tests.bench.peers.bentoml:Peer", "--quiet"]
    os.execv(sys.executable, [sys.executable, *command, "--host", "127.0.0.1", "--port", port])
