"""Timing: variants take turns, so that a noisy machine is noisy for all of them."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the repeats."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:,.4g} ({self.low:,.4g} to {self.high:,.4g})"


def rates(variants: Mapping[str, Callable[[], float]], repeats: int) -> dict[str, Spread]:
    """Work per second of each variant; each call does one run and returns the work it did."""
    found: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()  # warm-up: compiled shapes, caches, connections
    for _ in range(repeats):
        for name, run in variants.items():
            start = time.perf_counter()
            work = run()
            found[name].append(work / (time.perf_counter() - start))
    return {
        name: Spread(statistics.median(values), min(values), max(values))
        for name, values in found.items()
    }


def ratio(rates_by_name: Mapping[str, Spread], name: str, base: str) -> str:
    """`0.97 ×`, of medians."""
    return f"{rates_by_name[name].median / rates_by_name[base].median:.2f} ×"
