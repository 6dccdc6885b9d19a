"""Requests of each workload: texts of heavy-tailed length that never repeat.

Texts that repeat would be answered by the response cache, on the one server and not on the other.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from tritonclient.grpc import InferInput

from builders.spec import BUILDERS
from builders.tune.objective import Workload
from tests.load.arrivals import Lengths

COLLECTION = BUILDERS / "reference" / "collection"

MODELS: dict[Workload, str] = {
    "embed": "embed",
    "rerank": "rerank",
    "llm": "llm",
    "rag": "rag_cancellable",
}
"""What each workload calls."""

EMBED_TEXTS, RERANK_PASSAGES, RAG_DOCUMENTS = 8, 16, 16
"""Of one request; 16 candidates are what `rag` has reranked."""

TEXT_WORDS = Lengths(median=40, sigma=0.8, low=4, high=180)
PROMPT_WORDS = Lengths(median=80, sigma=0.8, low=8, high=400)
ANSWER_TOKENS = Lengths(median=48, sigma=0.6, low=8, high=200)

_SENTENCE = (
    "the gateway listens on a port that nobody else uses in this valley where ferries sail at noon "
    "and every lamp is counted twice before the harbour master writes the number into his book"
)
_WORDS = _SENTENCE.split()


@dataclass(frozen=True)
class Request:
    """What is sent; `work` is what a response without a count of tokens is worth."""

    model: str
    inputs: tuple[InferInput, ...]
    work: float


def requests(workload: Workload, seed: int) -> Iterator[Request]:
    """Without end; the same for the same seed, all different for another."""
    source = random.Random(seed)
    match workload:
        case "embed":
            return _embed(source, seed)
        case "rerank":
            return _rerank(source, seed)
        case "llm":
            return _llm(source, seed)
        case "rag":
            return _rag(source, seed)


def _embed(source: random.Random, seed: int) -> Iterator[Request]:
    texts = _texts(source, TEXT_WORDS, seed)
    while True:
        inputs = (_strings("input_text", [next(texts) for _ in range(EMBED_TEXTS)]),)
        yield Request(MODELS["embed"], inputs, EMBED_TEXTS)


def _rerank(source: random.Random, seed: int) -> Iterator[Request]:
    texts = _texts(source, TEXT_WORDS, seed)
    while True:
        query = _strings("query", [f"{source.choice(_WORDS)} {source.choice(_WORDS)}?"])
        passages = _strings("passages", [next(texts) for _ in range(RERANK_PASSAGES)])
        yield Request(MODELS["rerank"], (query, passages), RERANK_PASSAGES)


def _llm(source: random.Random, seed: int) -> Iterator[Request]:
    """Answers of a given length, so that the work is the same for all."""
    prompts = _texts(source, PROMPT_WORDS, seed)
    tokens = ANSWER_TOKENS.draw(seed)
    while True:
        count = next(tokens)
        lengths = (_numbers("max_tokens", count), _numbers("min_tokens", count))
        inputs = (_strings("text_input", [next(prompts)]), *lengths, _stream())
        yield Request(MODELS["llm"], inputs, 0.0)


def _rag(source: random.Random, seed: int) -> Iterator[Request]:
    """Questions of the sample collection over some of its documents, the right one among them."""
    lines = [json.loads(line) for line in (COLLECTION / "questions.jsonl").open()]
    texts = {file.name: file.read_text() for file in sorted(COLLECTION.glob("*.md"))}
    number = 0
    while True:
        asked, number = source.choice(lines), number + 1
        names = set(source.sample(sorted(texts), RAG_DOCUMENTS)) | {asked["document"]}
        documents = [f"({seed}-{number}) {texts[name]}" for name in sorted(names & texts.keys())]
        inputs = (_strings("question", [asked["question"]]), _strings("documents", documents))
        yield Request(MODELS["rag"], (*inputs, _stream()), 0.0)


def _texts(source: random.Random, words: Lengths, seed: int) -> Iterator[str]:
    """Each begins with a number of its own."""
    for number, length in enumerate(words.draw(seed)):
        yield f"{seed}-{number} {' '.join(source.choices(_WORDS, k=length))}"


def _strings(name: str, values: list[str]) -> InferInput:
    array = np.array([value.encode() for value in values], dtype=np.object_)
    return InferInput(name, [len(values)], "BYTES").set_data_from_numpy(array)


def _numbers(name: str, value: int) -> InferInput:
    return InferInput(name, [1], "INT32").set_data_from_numpy(np.array([value], dtype=np.int32))


def _stream() -> InferInput:
    return InferInput("stream", [1], "BOOL").set_data_from_numpy(np.array([True]))
