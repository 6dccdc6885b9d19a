"""Variants take turns, so that a noisy machine is noisy for all of them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def turns(variants: Sequence[T], repeats: int) -> Iterator[tuple[int, T]]:
    """(repeat, variant) with every other repeat backwards: nobody always follows the same one."""
    for repeat in range(repeats):
        for variant in variants if repeat % 2 == 0 else reversed(variants):
            yield repeat, variant
