"""What a soak calls flat, growing and stepped."""

import pytest

from tests.soak.page import _growth
from tests.soak.trend import Point

HALF_HOUR_S = 1800
WARM_UP_S = 300


def level(at_s: float, jump_s: float, jump_mib: float, mib_per_h: float) -> float:
    return 200 + mib_per_h * at_s / 3600 + (jump_mib if at_s > jump_s else 0)


@pytest.mark.parametrize(
    ("jump_s", "jump_mib", "mib_per_h", "verdict"),
    [
        (0, 0, 0, "flat"),
        (0, 0, 2, "flat"),
        (0, 0, 20, "grows"),
        (700, 6, 0, "stepped"),
        (700, 6, 20, "grows"),
        (1500, 6, 0, "grows"),  # so late that it may be the first of many
        (100, 50, 0, "flat"),  # in the warm-up
    ],
)
def test_a_step_is_no_slope(jump_s, jump_mib, mib_per_h, verdict):
    times = range(0, HALF_HOUR_S, 5)
    points = [Point(t, 1, level(t, jump_s, jump_mib, mib_per_h)) for t in times]
    assert _growth("llm", points, WARM_UP_S).verdict == verdict


def test_a_run_of_a_minute_says_nothing():
    points = [Point(t, 1, 200.0) for t in range(0, 60, 5)]
    assert _growth("llm", points, 0).verdict == "too short"
