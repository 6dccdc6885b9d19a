"""Whether a process grows: the slope of its memory after warm-up, with its confidence interval."""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

BIN_S = 60.0
"""Samples are averaged over a minute, so that neighbours hardly depend on each other."""
FLAT_MIB_PER_H = 6.0
"""A process is flat when its slope is below this with confidence: under 150 MiB a day."""

Verdict = Literal["flat", "grows", "unclear"]


@dataclass(frozen=True)
class Point:
    """One look: seconds since the start, the process it was, and what it held."""

    time_s: float
    pid: int
    mib: float


@dataclass(frozen=True)
class Slope:
    """MiB an hour, with the 95 % confidence interval."""

    middle: float
    low: float
    high: float

    @property
    def verdict(self) -> Verdict:
        """`grows` only where the whole interval is above the bound."""
        if self.high < FLAT_MIB_PER_H:
            return "flat"
        return "grows" if self.low > FLAT_MIB_PER_H else "unclear"


def slope(points: Sequence[Point], warm_up_s: float) -> Slope | None:
    """The common slope of all processes that the model had; None for too few minutes.

    A process that was loaded again warms up again: its first `warm_up_s` are left out too.
    """
    groups = [list(_bins(group, warm_up_s)) for group in _by_process(points)]
    centred = [pair for group in groups if len(group) > 1 for pair in _centred(group)]
    freedom = len(centred) - sum(len(group) > 1 for group in groups) - 1
    spread = sum(hours**2 for hours, _ in centred)
    if freedom < 1 or spread == 0:
        return None
    middle = sum(hours * mib for hours, mib in centred) / spread
    rest = sum((mib - middle * hours) ** 2 for hours, mib in centred) / freedom
    reach = float(stats.t.ppf(0.975, freedom)) * (rest / spread) ** 0.5
    return Slope(middle, middle - reach, middle + reach)


def _by_process(points: Sequence[Point]) -> Iterator[list[Point]]:
    for pid in dict.fromkeys(point.pid for point in points):
        yield [point for point in points if point.pid == pid]


def _bins(points: Sequence[Point], warm_up_s: float) -> Iterator[tuple[float, float]]:
    """Hours and mean MiB of each minute."""
    start = points[0].time_s + warm_up_s
    warm = [point for point in points if point.time_s >= start]
    for number in dict.fromkeys(int((point.time_s - start) // BIN_S) for point in warm):
        values = [p for p in warm if int((p.time_s - start) // BIN_S) == number]
        hours = statistics.fmean(p.time_s for p in values) / 3600
        yield hours, statistics.fmean(p.mib for p in values)


def _centred(group: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    hours = statistics.fmean(pair[0] for pair in group)
    mib = statistics.fmean(pair[1] for pair in group)
    return ((pair[0] - hours, pair[1] - mib) for pair in group)
