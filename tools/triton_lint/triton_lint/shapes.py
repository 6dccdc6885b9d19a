"""Shapes as Triton compares them."""

from collections.abc import Sequence
from math import prod

VARIABLE = -1


def fits(left: Sequence[int], right: Sequence[int]) -> bool:
    """Same rank, and each size equal or variable on one side."""
    return len(left) == len(right) and all(
        a == b or VARIABLE in (a, b) for a, b in zip(left, right, strict=True)
    )


def element_count(dims: Sequence[int]) -> int:
    """Elements of a shape: 0 of an empty one, -1 of a variable one."""
    if VARIABLE in dims:
        return -1
    return prod(dims) if dims else 0


def runs(dims: Sequence[int]) -> list[int]:
    """Products of the sizes between variable ones: what a reshape has to keep."""
    found = [1]
    for size in dims:
        if size == VARIABLE:
            found.append(1)
        else:
            found[-1] *= size
    return found


def reshape_fault(dims: Sequence[int], shape: Sequence[int]) -> str:
    """Why `dims` can't be reshaped to `shape`; "" where they can."""
    given, wanted = element_count(dims), element_count(shape)
    if given != wanted and (wanted != 0 or given != 1):
        return f"{list(dims)} and {list(shape)} have different numbers of elements"
    if given == -1 and len(runs(dims)) != len(runs(shape)):
        return f"{list(dims)} and {list(shape)} have different numbers of variable sizes"
    if given == -1 and runs(dims) != runs(shape):
        return f"{list(dims)} and {list(shape)} differ between their variable sizes"
    return ""
