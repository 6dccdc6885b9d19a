"""When a change is taken: noise must not do, a real gain must."""

import math
import random

import pytest

from builders.tune.decision import Pair, Slice, Verdict, interval, judge
from builders.tune.objective import parse

LIMITS = parse("embed:p99<200ms")
TWO_LIMITS = parse("llm:ttft_p99<200ms llm:itl_p50<20ms")


def pairs(count, gain=1.0, latency_s=(0.1, 0.1), seed=0, noise=0.05, failed=0):
    """`latency_s` of reference and candidate: each slice has 100 around it."""
    source = random.Random(seed)

    def one(rate, centre_s, lost):
        drawn = tuple(centre_s * math.exp(source.gauss(0, 0.02)) for _ in range(100))
        return Slice(rate * math.exp(source.gauss(0, noise)), lost, (drawn,))

    return [
        Pair(one(100.0, latency_s[0], 0), one(100.0 * gain, latency_s[1], failed))
        for _ in range(count)
    ]


def verdict(found, limits=LIMITS):
    return judge(found, limits, 0.95).verdict


def test_a_real_gain_is_faster():
    found = judge(pairs(10, gain=1.2), LIMITS, 0.95)
    assert found.verdict is Verdict.FASTER
    assert 1 < found.ratio.low < found.ratio.mean < found.ratio.high
    assert found.ratio.mean == pytest.approx(1.2, rel=0.1)
    assert found.reference_per_s == pytest.approx(100, rel=0.1)


def test_a_loss_is_slower():
    assert verdict(pairs(10, gain=0.8)) is Verdict.SLOWER


@pytest.mark.parametrize("count", [4, 10, 12])
def test_noise_is_rarely_taken_for_a_gain(count):
    """At 95 % two-sided, one in forty is expected."""
    taken = sum(verdict(pairs(count, seed=seed)).is_gain for seed in range(600))
    assert taken / 600 < 0.05


def test_what_slows_both_of_a_pair_does_not_count():
    drift = [Pair(Slice(r, 0, ((0.1,),)), Slice(1.1 * r, 0, ((0.1,),))) for r in (90, 50, 20, 70)]
    assert verdict(drift) is Verdict.FASTER


def test_one_pair_decides_nothing():
    assert verdict(pairs(1, gain=3.0)) is Verdict.UNCLEAR


def test_the_slo_goes_before_throughput():
    assert verdict(pairs(10, gain=1.5, latency_s=(0.1, 0.3))) is Verdict.MISSES
    assert verdict(pairs(10, gain=1.5, latency_s=(0.3, 0.3))) is Verdict.BOTH_MISS


def test_meeting_the_slo_is_worth_throughput():
    assert verdict(pairs(10, gain=0.8, latency_s=(0.3, 0.1))) is Verdict.MEETS


def test_around_the_limit_chance_is_not_taken_for_meeting_it():
    """Both servers are at p99 = limit: one seems to meet it, the other not, half of the time."""
    at_limit = 0.2 / math.exp(0.02 * 2.33)
    taken = [
        verdict(pairs(10, latency_s=(at_limit, at_limit), seed=seed)).is_gain for seed in range(400)
    ]
    assert sum(taken) / 400 < 0.08  # two chances, throughput and timing, of 2.5 % each


def test_a_failed_request_of_the_candidate_ends_it():
    assert verdict(pairs(10, gain=2.0, failed=1)) is Verdict.FAILED


def test_every_limit_counts():
    def both(ttft_s, itl_s):
        return Slice(100.0, 0, ((ttft_s,) * 20, (itl_s,) * 20))

    good, slow_first, slow_later = both(0.1, 0.01), both(0.3, 0.01), both(0.1, 0.03)
    assert verdict([Pair(good, slow_later)] * 4, TWO_LIMITS) is Verdict.MISSES
    assert verdict([Pair(slow_first, good)] * 4, TWO_LIMITS) is Verdict.MEETS
    assert judge([Pair(good, slow_later)] * 4, TWO_LIMITS, 0.95).candidate_s == (0.1, 0.03)


def test_a_candidate_without_an_answer_meets_nothing():
    dead = Slice(0.0, 0, ((),))
    assert verdict([Pair(Slice(100.0, 0, ((0.1,),)), dead)] * 4) is Verdict.MISSES


def test_more_confidence_is_a_wider_interval():
    logs = [0.1, 0.2, 0.15, 0.05]
    assert interval(logs, 0.99).low < interval(logs, 0.9).low < math.exp(0.125)
