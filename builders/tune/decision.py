"""When a change counts as better: pairs of slices measured side by side, and an interval on them.

A slice is a few seconds of load on one server; a pair is one of the reference and one of the
candidate, next to each other in time, so that what slows the machine slows both.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache

from scipy.stats import t as student_t  # type: ignore[import-untyped]

from builders.tune.objective import Limit
from tests.load.summary import quantile


@dataclass(frozen=True)
class Slice:
    """`timings_s` has a tuple for each limit of the workload: what that one is about."""

    work_per_s: float
    failed: int
    timings_s: tuple[tuple[float, ...], ...]


@dataclass(frozen=True)
class Pair:
    """Reference and candidate, measured one after the other."""

    reference: Slice
    candidate: Slice


@dataclass(frozen=True)
class Ratio:
    """Candidate to reference: the geometric mean of the pairs, and where the true one is."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} × ({self.low:.3f} to {self.high:.3f})"


class Verdict(StrEnum):
    """What a trial says; the first two are reasons to take the change."""

    FASTER = "faster"
    MEETS = "meets the SLO, which the reference misses"
    UNCLEAR = "no clear gain"
    BOTH_MISS = "misses the SLO, as the reference does"
    SLOWER = "slower"
    MISSES = "misses the SLO"
    FAILED = "requests failed"

    @property
    def is_gain(self) -> bool:
        """Whether the change is better."""
        return self in (Verdict.FASTER, Verdict.MEETS)

    @property
    def is_harm(self) -> bool:
        """Whether the change is worse."""
        return self in (Verdict.SLOWER, Verdict.MISSES, Verdict.FAILED)


@dataclass(frozen=True)
class Judgement:
    """A trial, judged. `reference_per_s` is its mean throughput; `*_s` are what the limits are
    about, over all slices, in their order.
    """

    verdict: Verdict
    ratio: Ratio
    reference_per_s: float
    reference_s: tuple[float, ...]
    candidate_s: tuple[float, ...]
    reference_meets: bool
    candidate_meets: bool


def judge(pairs: Sequence[Pair], limits: Sequence[Limit], confidence: float) -> Judgement:
    """Of at least one pair; `confidence` is that of the two-sided intervals."""
    reference = [pair.reference for pair in pairs]
    candidate = [pair.candidate for pair in pairs]
    ratio = interval([_log_ratio(pair) for pair in pairs], confidence)
    reference_s, candidate_s = (_quantiles(s, limits) for s in (reference, candidate))
    reference_meets, candidate_meets = (_meet(s, limits) for s in (reference_s, candidate_s))
    if any(one.failed for one in candidate):
        verdict = Verdict.FAILED
    elif not candidate_meets:
        verdict = Verdict.MISSES if reference_meets else Verdict.BOTH_MISS
    elif not reference_meets and _is_sooner(pairs, limits, reference_s, confidence):
        verdict = Verdict.MEETS
    else:
        verdict = _by_throughput(ratio)
    per_s = statistics.fmean(one.work_per_s for one in reference)
    meets = (reference_meets, candidate_meets)
    return Judgement(verdict, ratio, per_s, reference_s, candidate_s, *meets)


def interval(logs: Sequence[float], confidence: float) -> Ratio:
    """Student's, on the logarithms of the pairs' ratios; boundless for a single pair."""
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return Ratio(math.exp(mean), 0.0, math.inf)
    error = statistics.stdev(logs) / math.sqrt(len(logs))
    reach = error * _student(confidence, len(logs) - 1)
    return Ratio(*(math.exp(value) for value in (mean, mean - reach, mean + reach)))


@cache
def _student(confidence: float, freedom: int) -> float:
    return float(student_t.ppf((1 + confidence) / 2, freedom))


def _log_ratio(pair: Pair) -> float:
    """A server that answers nothing is slower than any other."""
    tiny = 1e-9
    return math.log(max(pair.candidate.work_per_s, tiny) / max(pair.reference.work_per_s, tiny))


def _by_throughput(ratio: Ratio) -> Verdict:
    if ratio.low > 1:
        return Verdict.FASTER
    return Verdict.SLOWER if ratio.high < 1 else Verdict.UNCLEAR


def _quantiles(slices: Sequence[Slice], limits: Sequence[Limit]) -> tuple[float, ...]:
    return tuple(
        _quantile([t for one in slices for t in one.timings_s[number]], limit)
        for number, limit in enumerate(limits)
    )


def _quantile(timings_s: Sequence[float], limit: Limit) -> float:
    return quantile(sorted(timings_s), limit.percent / 100) if timings_s else math.inf


def _meet(found_s: Sequence[float], limits: Sequence[Limit]) -> bool:
    return all(one < limit.limit_s for one, limit in zip(found_s, limits, strict=True))


def _is_sooner(
    pairs: Sequence[Pair], limits: Sequence[Limit], reference_s: Sequence[float], confidence: float
) -> bool:
    """Surely, in all that the reference misses: two servers at the limit differ by chance."""
    missed = [n for n, limit in enumerate(limits) if reference_s[n] >= limit.limit_s]
    return all(interval(_sooner_logs(pairs, n, limits[n]), confidence).low > 1 for n in missed)


def _sooner_logs(pairs: Sequence[Pair], number: int, limit: Limit) -> list[float]:
    """Of each pair: the logarithm of the reference's timing over the candidate's."""
    of: Callable[[Slice], float] = lambda one: _quantile(one.timings_s[number], limit)  # noqa: E731
    return [math.log(min(of(pair.reference), 1e6) / min(of(pair.candidate), 1e6)) for pair in pairs]
