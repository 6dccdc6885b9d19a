"""How the rows of an encoder are packed: rows of like length together, so none pays for another."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Packing:
    """A placement's `length_step` and `max_compute_rows`.

    The profiles of ONNX Runtime's TensorRT provider are made for the defaults.
    """

    length_step: int = LENGTH_STEP
    max_rows: int = MAX_BATCH_ROWS

    @staticmethod
    def read(parameters: Mapping[str, str]) -> "Packing":
        """The defaults where the placement says nothing; raises `ValueError` below 1."""
        step = int(parameters.get("length_step", LENGTH_STEP))
        rows = int(parameters.get("max_compute_rows", MAX_BATCH_ROWS))
        if min(step, rows) < 1:
            raise ValueError(
                f"length_step {step}, max_compute_rows {rows}; both must be at least 1"
            )
        return Packing(step, rows)


def padded_length(length: int, step: int = LENGTH_STEP) -> int:
    """The next multiple of `step`."""
    return -(-length // step) * step


_DEFAULT = Packing()


def compute_batches(lengths: Array, packing: Packing = _DEFAULT) -> Iterator[tuple[Array, int]]:
    """Row numbers and padded length of each compute batch, longest rows first."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = padded_length(int(lengths[order[start]]), packing.length_step)
        least = min(SHORTEST_SHARE * longest, longest - packing.length_step + 1)
        end = start + int((lengths[order[start : start + packing.max_rows]] >= least).sum())
        yield order[start:end], longest
        start = end
