"""The protocol of encoder engines, and the compute batches that they are given.

A compute batch holds rows of similar length, so that short rows are not padded to a long one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from python_backends.tensors import Array

LENGTH_STEP = 8
"""Padded lengths are multiples of it: an engine then sees few different shapes."""

MIN_FILL = 0.8
"""A row's length is at least this share of its compute batch's padded length, or rounds up to the
same padded length: a little padding costs less than another compute batch."""

MAX_BATCH_ROWS = 32
"""Most rows of a compute batch. On CPUs more rows raise memory and not throughput; GPUs were not
measured."""

SLICE_IDS = 16384
"""Most ids (rows x padded length) of a slice of a large request. By calculation, a GPU computes
them in a few milliseconds (docs/decisions/0104)."""


class EncoderEngine(Protocol):
    """Runs padded compute batches. Not thread-safe."""

    def encode(self, batches: Sequence[Mapping[str, Array]]) -> Sequence[Array]:
        """INT64 [rows, tokens] inputs by name to FP32 [rows, width], for each compute batch.

        The engine chooses the order and may run several at once.
        """


@dataclass(frozen=True)
class Packing:
    """The placement's parameters `length_step`, `max_compute_rows` and `slice_ids`.

    The shape profiles of ONNX Runtime's TensorRT provider fit the defaults.
    """

    length_step: int = LENGTH_STEP
    max_rows: int = MAX_BATCH_ROWS
    slice_ids: int = SLICE_IDS

    @staticmethod
    def read(parameters: Mapping[str, str]) -> "Packing":
        step = int(parameters.get("length_step", LENGTH_STEP))
        rows = int(parameters.get("max_compute_rows", MAX_BATCH_ROWS))
        ids = int(parameters.get("slice_ids", SLICE_IDS))
        if min(step, rows, ids) < 1:
            raise ValueError(
                f"length_step {step}, max_compute_rows {rows}, slice_ids {ids}; all must be at "
                "least 1"
            )
        return Packing(step, rows, ids)


_DEFAULT = Packing()


def padded_length(length: int, step: int = LENGTH_STEP) -> int:
    return -(-length // step) * step


def compute_batches(lengths: Array, packing: Packing = _DEFAULT) -> Iterator[tuple[Array, int]]:
    """Row indices and padded length of each compute batch, longest rows first."""
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        longest = padded_length(int(lengths[order[start]]), packing.length_step)
        shortest = min(MIN_FILL * longest, longest - packing.length_step + 1)
        end = start + int((lengths[order[start : start + packing.max_rows]] >= shortest).sum())
        yield order[start:end], longest
        start = end


def slices(lengths: Array, packing: Packing = _DEFAULT) -> Iterator[list[int]]:
    """Row indices of compute batches, longest rows first, of at most `slice_ids` ids together.

    A compute batch that has more is cut. A slice has one row or more.
    """
    found: list[int] = []
    ids = 0
    for rows, padded in compute_batches(lengths, packing):
        most = max(1, packing.slice_ids // padded)
        for start in range(0, len(rows), most):
            part = rows[start : start + most].tolist()
            if found and ids + len(part) * padded > packing.slice_ids:
                yield found
                found, ids = [], 0
            found, ids = found + part, ids + len(part) * padded
    yield found
