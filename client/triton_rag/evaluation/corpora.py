"""Where questions are asked: over documents in every request, or over a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from triton_rag.arguments import text_tensor
from triton_rag.calls import Call
from triton_rag.client import Client
from triton_rag.results import Answer, Source
from triton_rag.wire import Response, Tensor, make_request

ALL_CANDIDATES = 1000
"""Number of sources to ask for: there are fewer candidates, so all of them are returned."""


@dataclass(frozen=True)
class Rankings:
    """Ids of candidates, best first."""

    fused: Sequence[str] = ()
    """The order by similarity and words together."""
    by_words: Sequence[str] = ()


class Corpus(Protocol):
    """Where the answers to questions are looked for. Methods raise `TritonRagError`."""

    def search(self, question: str) -> list[Source]:
        """All candidates, in the order in which they are served."""

    def rankings(self, question: str) -> Rankings:
        """The candidates before they are reranked; empty where no call returns them."""

    def ask(self, question: str) -> Answer: ...

    def document(self, source: Source) -> str:
        """The path of the document that a source is from."""


@dataclass(frozen=True)
class RequestDocuments:
    """Documents that are sent with each question."""

    client: Client
    names: Sequence[str]
    texts: Sequence[str]

    def search(self, question: str) -> list[Source]:
        return self.client.retrieve(question, self.texts, num_sources=ALL_CANDIDATES)

    def rankings(self, question: str) -> Rankings:
        return Rankings()

    def ask(self, question: str) -> Answer:
        return self.client.ask(question, self.texts)

    def document(self, source: Source) -> str:
        return self.names[source.document]


@dataclass(frozen=True)
class StoredCollection:
    """A collection of the server."""

    client: Client
    name: str

    def search(self, question: str) -> list[Source]:
        return self.client.search(question, self.name, num_sources=ALL_CANDIDATES)

    def rankings(self, question: str) -> Rankings:
        embedding = self.client.embed([question], input_type="query")
        tensors = (
            text_tensor("query", question),
            Tensor("query_embedding", "FP32", embedding),
            text_tensor("collection", self.name),
        )
        request = make_request("vector_search", tensors)
        return self.client._run(Call((request,), lambda found: _rankings(found[0])), None, None)

    def ask(self, question: str) -> Answer:
        return self.client.ask(question, collection=self.name)

    def document(self, source: Source) -> str:
        return str(source.metadata["document"])


def _rankings(found: Response) -> Rankings:
    """The rankings in an answer of `vector_search`."""
    fused, scores = found.texts("candidate_id"), found.array("candidate_words")
    by_words = np.argsort(-scores, kind="stable")
    return Rankings(fused, [fused[place] for place in by_words])
