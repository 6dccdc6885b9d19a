"""What the stages that rank passages share: the fusion of rankings, and how many to keep."""

import numpy as np

from python_backends.errors import RequestError
from python_backends.tensors import Array, Tensors

DAMPING = 60
"""The usual value: rank 1 counts 1/61, rank 2 counts 1/62."""


def fused_order(*rankings: Array) -> Array:
    """Indices, best first, by reciprocal rank fusion of scores [passages] of several kinds.

    Only the order within a ranking counts, so its scores need no common unit (Cormack, Clarke and
    Büttcher, SIGIR 2009). Equal scores share a rank; equal sums keep the order given.
    """
    total = sum(1 / (DAMPING + ranks(scores)) for scores in rankings)
    return np.argsort(-np.round(total, 12), kind="stable")  # sums in another order differ by 1e-17


def ranks(scores: Array) -> Array:
    """1 for the highest score, INT64 [passages]; equal scores share a rank."""
    return 1 + np.searchsorted(np.sort(-scores), -scores)


def read_count(request: Tensors, name: str, default: int) -> int:
    """An optional input of at least 1; raises `RequestError`."""
    value = request.scalar(name)
    if value is not None and value < 1:
        raise RequestError(f"{name}: {value} given; 1 or more is possible")
    return default if value is None else int(value)
