"""Figures of a run: throughput, percentiles, and how sure they are. Pure functions."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.load.records import Outcome, Record

_RESAMPLES = 2000


@dataclass(frozen=True)
class Percentiles:
    """Percentiles of one quantity, in its unit."""

    p50: float
    p90: float
    p99: float
    highest: float

    @property
    def tail(self) -> float:
        """p99 / p50."""
        return self.p99 / self.p50 if self.p50 else math.nan


@dataclass(frozen=True)
class Summary:
    """A run. Times in seconds; `ttft_s` and `itl_s` only where some request had several responses.

    Latencies are those of answered requests and of timed-out ones, which took at least that long.
    """

    requests: int
    answered: int
    refused: int
    timed_out: int
    failed: int
    faults: tuple[str, ...]
    seconds: float
    work_per_s: float
    requests_per_s: float
    latency_s: Percentiles | None
    ttft_s: Percentiles | None
    itl_s: Percentiles | None
    lag_p99_s: float


@dataclass(frozen=True)
class Interval:
    """Where the true value is with the confidence asked for."""

    low: float
    high: float

    def is_above(self, value: float) -> bool:
        return self.low > value


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of repeats."""

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.median:,.4g} ({self.low:,.4g} to {self.high:,.4g})"


def summarize(records: Sequence[Record]) -> Summary:
    """Throughput is work over the time from the first request's due time to the last end."""
    if not records:
        raise ValueError("records: none; a run of at least one request is needed")
    good = [record for record in records if record.outcome is Outcome.OK]
    timed = [record for record in records if record.outcome in (Outcome.OK, Outcome.TIMEOUT)]
    seconds = max(r.end_s for r in records) - min(r.scheduled_s for r in records)
    count = Counter(record.outcome for record in records)
    streamed = any(len(record.responses) > 1 for record in good)
    firsts = [r.first_response_s for r in good if r.first_response_s is not None]
    return Summary(
        requests=len(records),
        answered=count[Outcome.OK],
        refused=count[Outcome.REFUSED],
        timed_out=count[Outcome.TIMEOUT],
        failed=count[Outcome.ERROR],
        faults=tuple(sorted({record.fault for record in records} - {""})),
        seconds=seconds,
        work_per_s=sum(record.work for record in good) / seconds if seconds else math.nan,
        requests_per_s=len(good) / seconds if seconds else math.nan,
        latency_s=percentiles([record.latency_s for record in timed]),
        ttft_s=percentiles(firsts) if streamed else None,
        itl_s=percentiles([gap for r in good for gap in r.gaps_s()]) if streamed else None,
        lag_p99_s=quantile(sorted(record.lag_s for record in records), 0.99),
    )


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """None without values."""
    if not values:
        return None
    ordered = sorted(values)
    p50, p90, p99 = (quantile(ordered, q) for q in (0.5, 0.9, 0.99))
    return Percentiles(p50, p90, p99, ordered[-1])


def quantile(ordered: Sequence[float], q: float) -> float:
    """The smallest value that at least a share `q` of the ascending values does not exceed."""
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def quantile_interval(
    values: Sequence[float], q: float, confidence: float = 0.95
) -> Interval | None:
    """The quantile's interval, from order statistics (binomial: any distribution of the values).

    None when so few values say nothing: p99 at 95 % needs some 370.
    """
    ordered, n = sorted(values), len(values)
    chance = [_binomial(n, k, q) for k in range(n + 1)]
    below, low = 0.0, 0
    while low <= n and below + chance[low] <= (1 - confidence) / 2:
        below, low = below + chance[low], low + 1
    above, high = 0.0, n
    while high >= 0 and above + chance[high] <= (1 - confidence) / 2:
        above, high = above + chance[high], high - 1
    if low < 1 or high >= n:
        return None
    return Interval(ordered[low - 1], ordered[high])


def _binomial(n: int, k: int, q: float) -> float:
    """Computed with logarithms: the coefficient alone is beyond a float from n = 1030 on."""
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(ways + k * math.log(q) + (n - k) * math.log1p(-q))


def spread(values: Sequence[float]) -> Spread:
    """The spread of one figure over repeats."""
    return Spread(statistics.median(values), min(values), max(values))


def median_interval(values: Sequence[float], confidence: float = 0.95, seed: int = 0) -> Interval:
    """The interval of the median of repeats, by bootstrap."""

    def median(draw: Sequence[int]) -> float:
        return statistics.median(values[i] for i in draw)

    return _bootstrap(median, len(values), confidence, seed)


def ratio_interval(
    values: Sequence[float], base: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """The interval of the ratio of medians, by bootstrap over interleaved repeats. Those of one
    round stay together, so that what slows the machine for both does not count.
    """
    if len(values) != len(base):
        raise ValueError(f"repeats: {len(values)} and {len(base)} given; they come in pairs")

    def ratio(draw: Sequence[int]) -> float:
        numerator = statistics.median(values[i] for i in draw)
        return numerator / statistics.median(base[i] for i in draw)

    return _bootstrap(ratio, len(values), confidence, seed)


def _bootstrap(
    figure: Callable[[Sequence[int]], float], count: int, confidence: float, seed: int
) -> Interval:
    source = random.Random(seed)
    found = sorted(figure(source.choices(range(count), k=count)) for _ in range(_RESAMPLES))
    edge = (1 - confidence) / 2
    return Interval(quantile(found, edge), quantile(found, 1 - edge))
