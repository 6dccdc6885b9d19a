"""How the two rankings of a collection are put together, on the questions of tests/evaluation.

The passages are those of the server's splitter, all documents in one collection, so a question has
to find its passage among thousands. Only the split `tune` decides.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tritonclient.grpc as grpcclient
from triton_rag import Client
from triton_rag.cli.documents import read_documents
from triton_rag.evaluation.outcomes import EVIDENCE_SHARE
from triton_rag.evaluation.questions import Question, read_questions
from triton_rag.evaluation.text import holds, share_of_words

from python_backends.stages.bm25 import word_scores
from python_backends.stages.fusion import scaled
from python_backends.stages.passage_selector import cosines, scaled_words
from python_backends.stores.filters import NO_FILTER
from python_backends.stores.store import Document, FoundPassage, Passage, Store
from python_backends.tensors import Array
from tests.server.conftest import text

EVALUATION = Path(__file__).parent.parent / "evaluation"
COLLECTION = "evaluation"
RRF_K = 60
"""The usual constant of reciprocal rank fusion (Cormack, Clarke and Büttcher, SIGIR 2009)."""

Rule = Callable[[str, Sequence[str], Array], Array]
"""Question, passages that the store found, and their cosines to scores."""


def by_rank(scores: Array) -> Array:
    """1 / (k + rank), 0 for what has no score."""
    ranks = np.argsort(np.argsort(-scores, kind="stable"), kind="stable") + 1
    return np.where(scores > 0, 1.0 / (RRF_K + ranks), 0.0)


RULES: dict[str, Rule] = {
    "embedder": lambda _, texts, cosine: cosine,
    "BM25": lambda question, texts, cosine: word_scores(question, texts),
    "reciprocal ranks": lambda question, texts, cosine: (
        by_rank(cosine) + by_rank(word_scores(question, texts))
    ),
    "scaled and added (served)": lambda question, texts, cosine: (
        scaled(cosine) + scaled_words(question, texts)
    ),
}


@dataclass(frozen=True)
class Figures:
    mrr: float
    first_three: float
    recall: float


def questions(split: str) -> list[Question]:
    found = read_questions(EVALUATION / "questions.jsonl")
    return [one for one in found if one.is_answerable and one.split == split]


def ingest(client: Client, url: str, store: Store, embedder: str = "measured") -> None:
    """All documents of the evaluation into a new collection of the store."""
    documents = list(_documents(client, url))
    store.create(COLLECTION, embedder, documents[0].embeddings.shape[1])
    store.replace(COLLECTION, documents)


def _documents(client: Client, url: str) -> Iterator[Document]:
    """Cut by the server's splitter, embedded by its embedder."""
    given = read_documents(EVALUATION / "documents")
    splitter = grpcclient.InferenceServerClient(url)
    for name, whole in zip(given.names, given.texts, strict=True):
        asked = [text("question", "?"), text("documents", whole)]
        passages = splitter.infer("passage_splitter", asked).as_numpy("passages")
        texts = [passage.decode() for passage in passages]
        rows = client.embed(texts, input_type="passage")
        yield Document(name, [Passage(one) for one in texts], rows, name)
    splitter.close()


def figures(
    client: Client, store: Store, asked: Sequence[Question], rule: Rule, count: int
) -> Figures:
    """How a rule ranks, of `count` passages from each of the two rankings."""
    ranks = []
    collection = store.collection(COLLECTION)
    embeddings = client.embed([one.question for one in asked], input_type="query")
    for question, embedding in zip(asked, embeddings, strict=True):
        found = store.search(collection, question.question, embedding, NO_FILTER, count)
        texts = [passage.text for passage in found.passages]
        score = rule(question.question, texts, cosines(found.embeddings, embedding))
        order = np.argsort(-score, kind="stable")
        ranks.append(_rank(question, [found.passages[i] for i in order]))
    return Figures(
        mrr=float(np.mean([1 / rank if rank and rank <= 10 else 0 for rank in ranks])),
        first_three=float(np.mean([bool(rank and rank <= 3) for rank in ranks])),
        recall=float(np.mean([bool(rank and rank <= 16) for rank in ranks])),
    )


def _rank(question: Question, passages: Sequence[FoundPassage]) -> int | None:
    places = (n for n, passage in enumerate(passages, 1) if _tells(question, passage))
    return next(places, None)


def _tells(question: Question, passage: FoundPassage) -> bool:
    return (
        passage.document == question.document
        and holds(passage.text, question.answers)
        and share_of_words(passage.text, question.evidence) >= EVIDENCE_SHARE
    )
