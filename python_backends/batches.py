"""How the rows of an encoder are packed: rows of like length together, so none pays for another."""

from collections.abc import Iterator

import numpy as np

from python_backends.stage import Array

LENGTH_STEP = 8
"""Padded lengths are multiples of it: few enough that an engine meets each often."""

SHORTEST_SHARE = 0.8
"""The rows of a compute batch have at least this share of its padded length, or the same padded
length: one row alone costs more than a little padding."""

MAX_BATCH_ROWS = 32
"""Rows computed at once: on CPUs throughput is flat beyond it and memory grows (facts:
engines-cpu). Not measured on a GPU."""


def padded_length(length: int) -> int:
    """The next multiple of `LENGTH_STEP`."""
    return -(-length // LENGTH_STEP) * LENGTH_STEP


def compute_batches(lengths: Array) -> Iterator[tuple[Array, int]]:
    """Row numbers and padded length of each compute batch, longest rows first."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = padded_length(int(lengths[order[start]]))
        least = min(SHORTEST_SHARE * longest, longest - LENGTH_STEP + 1)
        end = start + int((lengths[order[start : start + MAX_BATCH_ROWS]] >= least).sum())
        yield order[start:end], longest
        start = end
