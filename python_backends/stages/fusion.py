"""Scales, adds and orders the scores of passages."""

import numpy as np

from python_backends.errors import RequestError
from python_backends.tensors import Array, Tensors


def scaled(scores: Array) -> Array:
    """The scores from 0 for the lowest to 1 for the highest; all 0 if all scores are equal.

    Scores of different kinds have no common unit. Scaled over the passages of one request they can
    be added ("convex combination" in Bruch, Gai and Ingber, ACM TOIS 2023).
    """
    low, high = scores.min(), scores.max()
    return np.zeros(len(scores)) if low == high else (scores - low) / np.float64(high - low)


def best_first(scores: Array, count: int) -> Array:
    """Indices of the `count` highest scores, best first; equal scores keep their order."""
    return np.argsort(-scores, kind="stable")[:count]


def read_count(request: Tensors, name: str, default: int) -> int:
    """An optional input of at least 1; raises `RequestError`."""
    value = request.scalar(name)
    if value is not None and value < 1:
        raise RequestError(f"{name}: {value} given; 1 or more is possible")
    return default if value is None else int(value)
