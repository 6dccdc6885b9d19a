"""What is asked for: the same requests, in the same order, for every variant."""

import itertools
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

from builders.spec import ROOT
from python_backends.sentences import sentences
from tests.load.arrivals import Lengths

COLLECTION = ROOT / "tests" / "collection"
TEXT_WORDS = Lengths(median=24, sigma=0.8, low=3, high=150)
PASSAGE_WORDS = Lengths(median=30, sigma=0.5, low=8, high=120)
PROMPT_WORDS = Lengths(median=60, sigma=0.8, low=8, high=400)
RERANKED = 8
SATURATED_ROWS, SATURATED_WORDS = 32, 100
QUERY = "Which port does the gateway listen on?"
_WORDS = "the gateway listens on a port that nobody else uses in this valley".split()  # noqa: SIM905


@dataclass(frozen=True)
class Embed:
    """`embed`, `/embed`."""

    texts: tuple[str, ...]


@dataclass(frozen=True)
class Rerank:
    """`rerank`, `/rerank`."""

    query: str
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Rag:
    """`rag`, `/rag`. Passages are short enough that our splitter leaves them whole."""

    question: str
    passages: tuple[str, ...]


@dataclass(frozen=True)
class Generate:
    """`llm`: exactly `tokens` of them."""

    prompt: str
    tokens: int


_serials = itertools.count()
"""Stands before every sentence and behind every question: our embedder keeps the rows that it has
computed (docs/decisions/0016), and no text shall be asked for twice."""

Request = Embed | Rerank | Rag | Generate


def documents() -> list[str]:
    """The sample collection."""
    return [file.read_text() for file in sorted(COLLECTION.glob("*.md"))]


def questions() -> list[str]:
    """Questions of the sample collection."""
    return [json.loads(line)["question"] for line in (COLLECTION / "questions.jsonl").open()]


def saturating_embeds() -> Iterator[Embed]:
    """Full batches of equal length, about 120 tokens a row: no padding to argue about."""
    source = random.Random(0)
    while True:
        yield Embed(tuple(_text(source, SATURATED_WORDS) for _ in range(SATURATED_ROWS)))


def saturating_reranks() -> Iterator[Rerank]:
    """The same passages with a query."""
    return (Rerank(QUERY, request.texts) for request in saturating_embeds())


def embeds() -> Iterator[Embed]:
    """One text each, most of them short."""
    source = random.Random(0)
    return (Embed((_text(source, words),)) for words in TEXT_WORDS.draw(seed=0))


def reranks() -> Iterator[Rerank]:
    """A query with a few passages of different lengths."""
    source, lengths = random.Random(0), PASSAGE_WORDS.draw(seed=0)
    while True:
        words = itertools.islice(lengths, RERANKED)
        yield Rerank(QUERY, tuple(_text(source, count) for count in words))


def rags(passages: list[str], count: int) -> Iterator[Rag]:
    """Questions of the sample collection, each over `count` passages in an order of its own."""
    source, asked = random.Random(0), itertools.cycle(questions())
    for question in asked:
        drawn = itertools.islice(itertools.cycle(source.sample(passages, len(passages))), count)
        serial = next(_serials)
        yield Rag(
            f"{question} ({serial})",
            tuple(numbered(passage, f"{serial}.{n}") for n, passage in enumerate(drawn)),
        )


def numbered(passage: str, number: str) -> str:
    """The passage with a number before each sentence: candidates are embedded by sentences too."""
    return " ".join(f"{number} {sentence}" for sentence in sentences(passage))


def rags_over_same(passages: list[str]) -> Iterator[Rag]:
    """A question after the other over the same documents, as a user asks them: the one workload in
    which our embedder knows its rows."""
    for question in itertools.cycle(questions()):
        yield Rag(f"{question} ({next(_serials)})", tuple(passages))


def prompts(tokens: int) -> Iterator[Generate]:
    """Each different from its first word on; most of them short."""
    for number, words in enumerate(PROMPT_WORDS.draw(seed=0)):
        body = " ".join(f"word{(number * 31 + i * 7) % 97}" for i in range(words))
        yield Generate(f"{number} {body}", tokens)


def _text(source: random.Random, words: int) -> str:
    return " ".join([str(next(_serials)), *source.choices(_WORDS, k=words - 1)])
