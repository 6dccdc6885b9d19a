"""Rows to measure with: clustered vectors, and texts whose words are as unequal as real ones.

Random vectors without clusters would defeat every index: all of them are equally far apart.
"""

from collections.abc import Iterator

import numpy as np
from triton_rag import Document, Passage

from python_backends.tensors import Array

WIDTH = 384
CLUSTERS = 1_000
SPREAD = 0.6
VOCABULARY = 20_000
WORDS = 40
PASSAGES = 10
"""How many a document has."""
GROUPS = 100
"""Values of the metadata `group`: a filter on one leaves 1 %."""


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


CENTRES = _generator(0).normal(size=(CLUSTERS, WIDTH)).astype(np.float32)


def vectors(count: int, seed: int) -> Array:
    """Normalized, FP32 [count, WIDTH]."""
    generator = _generator(seed)
    noise = generator.normal(size=(count, WIDTH)).astype(np.float32)
    found: Array = CENTRES[generator.integers(0, CLUSTERS, count)] + np.float32(SPREAD) * noise
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def texts(count: int, seed: int, words: int = WORDS) -> list[str]:
    """Texts of words that are drawn by Zipf's law."""
    share = 1 / np.arange(1, VOCABULARY + 1)
    drawn = _generator(seed).choice(VOCABULARY, (count, words), p=share / share.sum())
    return [" ".join(f"w{word}" for word in row) for row in drawn]


def batches(rows: int, size: int) -> Iterator[tuple[list[Document], Array]]:
    """Documents with their embeddings, `size` rows at a time."""
    for seed, embeddings in enumerate(vector_batches(rows, size), start=1):
        yield documents((seed - 1) * size, len(embeddings), seed), embeddings


def vector_batches(rows: int, size: int) -> Iterator[Array]:
    for seed, start in enumerate(range(0, rows, size), start=1):
        yield vectors(min(size, rows - start), seed)


def documents(start: int, count: int, seed: int) -> list[Document]:
    passages = [Passage(text, page=1) for text in texts(count, seed)]
    return [
        Document(
            f"document {number // PASSAGES}",
            passages[number - start : number - start + PASSAGES],
            title=f"Title {number // PASSAGES}",
            metadata={"group": number // PASSAGES % GROUPS},
        )
        for number in range(start, start + count, PASSAGES)
    ]
