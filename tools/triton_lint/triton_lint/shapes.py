"""Shapes as Triton compares them."""

from collections.abc import Sequence

VARIABLE = -1


def fits(left: Sequence[int], right: Sequence[int]) -> bool:
    """Same rank, and each size equal or variable on one side."""
    return len(left) == len(right) and all(
        a == b or VARIABLE in (a, b) for a, b in zip(left, right, strict=True)
    )
