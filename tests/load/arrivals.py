"""When requests arrive in an open loop, and how long they are; the same for the same seed."""

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass


def poisson(rate_per_s: float, duration_s: float, seed: int) -> list[float]:
    """Arrivals of independent users, seconds from the start, below `duration_s`."""
    if rate_per_s <= 0:
        raise ValueError(f"rate_per_s: {rate_per_s} asked; it must be above 0")
    gaps = random.Random(seed)
    times = itertools.accumulate(gaps.expovariate(rate_per_s) for _ in itertools.count())
    return list(itertools.takewhile(lambda at: at < duration_s, times))


def bursts(rate_per_s: float, size: int, duration_s: float, seed: int) -> list[float]:
    """The same mean rate, in groups of `size` that arrive at once."""
    if size < 1:
        raise ValueError(f"size: {size} asked; at least 1 is possible")
    starts = poisson(rate_per_s / size, duration_s, seed)
    return [at for at in starts for _ in range(size)]


@dataclass(frozen=True)
class Lengths:
    """A lognormal distribution, cut at both ends: most are short, a few are very long.

    `sigma` is that of the logarithm: at 0.8 one in a hundred is longer than 6 medians.
    """

    median: int
    sigma: float
    low: int
    high: int

    def __post_init__(self) -> None:
        if not 1 <= self.low <= self.median <= self.high:
            raise ValueError(
                f"lengths: 1 ≤ low ≤ median ≤ high needed, found {self.low}, {self.median} and "
                f"{self.high}"
            )

    def draw(self, seed: int) -> Iterator[int]:
        """Without end."""
        source = random.Random(seed)
        while True:
            length = round(source.lognormvariate(math.log(self.median), self.sigma))
            yield min(max(length, self.low), self.high)
