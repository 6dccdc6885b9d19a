"""Passages of a question as our stages choose and order them, with our stages' own functions."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from python_backends.sentences import sentences
from python_backends.stages.bm25 import word_scores
from python_backends.stages.fusion import best_first, scaled
from tests.bench.rag_limits import CANDIDATES, SOURCES


@dataclass(frozen=True)
class Candidates:
    """The passages that are judged closely; similarity and words are [candidates]."""

    passages: list[str]
    similarity: np.ndarray
    words: np.ndarray

    @staticmethod
    def choose(question: str, passages: Sequence[str], similarity: np.ndarray) -> "Candidates":
        """As `passage_selector`; `similarity`: cosines of all passages."""
        words = scaled(word_scores(question, passages))
        order = best_first(scaled(similarity) + words, CANDIDATES)
        return Candidates([passages[i] for i in order], similarity[order], words[order])

    @cached_property
    def _sentences(self) -> list[list[str]]:
        return [sentences(passage) for passage in self.passages]

    def texts(self) -> list[str]:
        """All of their sentences."""
        return [text for texts in self._sentences for text in texts]

    def ranked(self, cosines: np.ndarray, relevance: np.ndarray) -> tuple[list[str], np.ndarray]:
        """The sources, best first, as `source_ranker` orders them, and their relevance.

        `cosines`: of all sentences.
        """
        ends = np.cumsum([len(texts) for texts in self._sentences])[:-1]
        best = np.array([found.max() for found in np.split(cosines, ends)])
        share = int(os.environ["BENCH_RELEVANCE_PERCENT"]) / 100
        score = scaled((self.similarity + best) / 2) + self.words + share * scaled(relevance)
        order = best_first(score, SOURCES)
        return [self.passages[i] for i in order], relevance[order]


def read(sources: Sequence[str], relevance: np.ndarray, by_reader: np.ndarray) -> list[str]:
    """The sources as `reader_ranker` orders them; our reader reads as many as there are."""
    share = int(os.environ["BENCH_READER_PERCENT"]) / 100
    order = best_first(share * by_reader + (1 - share) * relevance, len(sources))
    return [sources[i] for i in order]
