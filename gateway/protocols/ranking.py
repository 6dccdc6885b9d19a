"""What the rank protocols share: logits to ordered results."""

import math
from collections.abc import Sequence


def by_relevance(logits: Sequence[float], top_n: int | None = None) -> list[tuple[int, float]]:
    """Index and logit, best first; equal ones in the request's order."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    return [(i, logits[i]) for i in order[:top_n]]


def probability(logit: float) -> float:
    """The logistic function: 0 to 1, as Cohere, Jina and TEI scale their scores."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return 1 - 1 / (1 + math.exp(logit))
