"""How the rows of an encoder are packed: few padded lengths, so many rows each."""

from collections.abc import Iterator

import numpy as np

from python_backends.stage import Array

LENGTH_BUCKETS = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)
"""Padded lengths: few, so that an engine meets each often; close, so that little is wasted."""

MAX_BATCH_ROWS = 32
"""Rows computed at once: on CPUs throughput is flat beyond it and memory grows (facts:
engines-cpu). Not measured on a GPU."""


def bucket(length: int) -> int:
    """The padded length of a row: the first bucket that holds it, else a multiple of the last."""
    last = LENGTH_BUCKETS[-1]
    return next((b for b in LENGTH_BUCKETS if b >= length), -(-length // last) * last)


def compute_batches(lengths: Array) -> Iterator[tuple[Array, int]]:
    """Row numbers and padded length of each compute batch, shortest rows first."""
    order = np.argsort(lengths, kind="stable")
    buckets = np.array([bucket(int(n)) for n in lengths[order]])
    for length in np.unique(buckets):
        rows = order[buckets == length]
        for start in range(0, len(rows), MAX_BATCH_ROWS):
            yield rows[start : start + MAX_BATCH_ROWS], int(length)
