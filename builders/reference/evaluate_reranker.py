"""Measure the reference reranker: ``python -m builders.reference.evaluate_reranker --help``.

Nothing measured here was trained on: the hand-written sample collection, facts with held-out names
and phrasings, and docstrings of held-out modules. The embedder alone stands beside the reranker,
because a reranker that is no better than the retriever before it is not worth its time.
"""

import argparse
import json
import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from builders.reference.cross_encoder import CrossEncoder
from builders.reference.docstrings import read_passages
from builders.reference.minilm import Embedder, quiet_loading
from builders.reference.rerank_pairs import docstring_queries, fact_groups

COLLECTION = Path(__file__).parent / "collection"
CANDIDATES = 16
QUESTIONS = 100
THREADS = 2
SEED = 17

Scores = npt.NDArray[np.float32]
Scorer = Callable[[str, Sequence[str]], Scores]


@dataclass(frozen=True)
class Question:
    """A query, the passages to choose from, and the number of the right one, from 0."""

    query: str
    passages: tuple[str, ...]
    right: int


@dataclass(frozen=True)
class Result:
    """How well one way of ranking did on one set of questions."""

    questions: str
    method: str
    number: int
    passages: int
    top_1: float
    mean_reciprocal_rank: float


class ByEmbedding:
    """Cosine of query and passage; every text is embedded once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._known: dict[str, Scores] = {}

    def __call__(self, query: str, passages: Sequence[str]) -> Scores:
        """Cosines, float32 of shape [passages]."""
        self._embed({query, *passages} - self._known.keys())
        cosines: Scores = np.stack([self._known[p] for p in passages]) @ self._known[query]
        return cosines

    def _embed(self, unknown: Iterable[str]) -> None:
        texts = sorted(unknown)
        self._known.update(zip(texts, self._embedder.encode(texts), strict=True))


def retrieve_then_rerank(first: Scorer, second: Scorer) -> Scorer:
    """What the server does: ``second`` orders the ``CANDIDATES`` best of ``first``."""

    def score(query: str, passages: Sequence[str]) -> Scores:
        kept = np.argsort(-first(query, passages), kind="stable")[:CANDIDATES]
        scores = np.full(len(passages), -np.inf, dtype=np.float32)
        scores[kept] = second(query, [passages[i] for i in kept])
        return scores

    return score


def collection_questions(folder: Path) -> list[Question]:
    """The answerable questions of the sample collection, each over all of its documents."""
    documents = {
        path.name: path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.md"))
    }
    names, texts = list(documents), tuple(documents.values())
    lines = (folder / "questions.jsonl").read_text(encoding="utf-8").splitlines()
    asked = [json.loads(line) for line in lines]
    return [
        Question(one["question"], texts, names.index(one["document"]))
        for one in asked
        if one["answer"] is not None
    ]


def held_out_facts() -> list[Question]:
    """Questions on invented facts, each over one right and seven wrong passages."""
    groups = fact_groups(QUESTIONS, random.Random(SEED), held_out=True)
    return [Question(g.query, (g.positive, *g.negatives), 0) for g in groups]


def held_out_docstrings() -> list[Question]:
    """Questions on modules that training never read, each over all of those modules' passages."""
    passages = [passage for passage in read_passages() if passage.held_out]
    rng = random.Random(SEED)
    texts = tuple(passage.text for passage in passages)
    asked = rng.sample(docstring_queries(passages, rng), QUESTIONS)
    # The query's own sentence may be cut out of the right passage.
    return [
        Question(one.query, _replaced(texts, one.source, one.answer), one.source) for one in asked
    ]


def _replaced(texts: tuple[str, ...], place: int, text: str) -> tuple[str, ...]:
    return (*texts[:place], text, *texts[place + 1 :])


def measure(name: str, questions: Sequence[Question], method: str, scorer: Scorer) -> Result:
    """Rank every question's passages with ``scorer``."""
    ranks = [_rank(scorer(q.query, q.passages), q.right) for q in questions]
    top_1 = float(np.mean([rank == 1 for rank in ranks]))
    reciprocal = float(np.mean([1 / rank for rank in ranks]))
    sizes = len(questions[0].passages)
    return Result(name, method, len(ranks), sizes, round(top_1, 4), round(reciprocal, 4))


def _rank(scores: Scores, right: int) -> int:
    """The right passage's place, from 1; among equals it comes last."""
    return int((scores >= scores[right]).sum())


def evaluate(minilm: Path, reranker: Path) -> list[Result]:
    """Every set of questions, ranked in every way."""
    by_embedding = ByEmbedding(Embedder(minilm))
    by_reranker = CrossEncoder.load(reranker).scores
    both = retrieve_then_rerank(by_embedding, by_reranker)
    sample, invented = collection_questions(COLLECTION), held_out_facts()
    docstrings = held_out_docstrings()
    return [
        measure("sample collection", sample, "embedder", by_embedding),
        measure("sample collection", sample, "reranker", by_reranker),
        measure("sample collection", sample, "both", both),
        measure("held-out facts", invented, "embedder", by_embedding),
        measure("held-out facts", invented, "reranker", by_reranker),
        # Hundreds of passages for each question: the reranker alone would take an hour.
        measure("held-out docstrings", docstrings, "embedder", by_embedding),
        measure("held-out docstrings", docstrings, "both", both),
    ]


def cpu_milliseconds_per_pair(reranker: Path) -> float:
    """Median of the processor time for one of ``CANDIDATES`` pairs of about 100 words."""
    scorer = CrossEncoder.load(reranker).scores
    passages = [passage.text for passage in read_passages() if len(passage.text.split()) > 95]
    times = []
    for _ in range(5):
        start = time.process_time()
        scorer("How do I find out whether it is done?", passages[:CANDIDATES])
        times.append((time.process_time() - start) / CANDIDATES * 1000)
    return round(float(np.median(times)), 2)


def _table(results: Sequence[Result]) -> str:
    head = f"{'questions':<22}{'number':>7}{'passages':>9}  {'ranked by':<10}{'top-1':>7}{'MRR':>7}"
    rows = [
        f"{r.questions:<22}{r.number:>7}{r.passages:>9}  {r.method:<10}{r.top_1:>7.1%}"
        f"{r.mean_reciprocal_rank:>7.3f}"
        for r in results
    ]
    return "\n".join([head, *rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line, print the table, and write it as JSON when asked to."""
    parser = argparse.ArgumentParser(description="Measure the reference reranker.")
    parser.add_argument("--minilm", type=Path, required=True, help="folder of all-MiniLM-L6-v2")
    parser.add_argument("--reranker", type=Path, required=True, help="assembled reranker folder")
    parser.add_argument("--output", type=Path, help="also write the figures to this JSON file")
    parser.add_argument("--threads", type=int, default=THREADS, help="for torch (%(default)s)")
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    quiet_loading()
    results = evaluate(options.minilm, options.reranker)
    pair = cpu_milliseconds_per_pair(options.reranker)
    print(
        _table(results),
        f"{pair} ms per pair of about 100 words, {options.threads} threads",
        sep="\n",
    )
    if options.output:
        report = {"results": [asdict(r) for r in results], "cpu_milliseconds_per_pair": pair}
        options.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
