"""The largest load that keeps an SLO: double until a step fails, then halve the gap.

Pure: the caller measures a step and keeps the time.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["clients", "rate"]
"""`clients`: requests in flight in a closed loop; `rate`: Poisson arrivals a second."""
CLOSE_ENOUGH = 1.1
"""The search ends when the lowest failed load is at most this factor above the largest kept one."""


@dataclass(frozen=True)
class Step:
    """One measured load."""

    kind: Kind
    load: float
    requests: int
    answered: int
    answered_per_s: float
    measured_s: float
    """The percentile of the SLO, seconds."""
    is_kept: bool


@dataclass(frozen=True)
class Found:
    """`kept` is the step of the largest load that kept the SLO; None when no load did.

    `failed` is the lowest load that failed; None when the search ended before one did.
    """

    kept: Step | None
    failed: float | None


def search(
    measure: Callable[[float], Step],
    start: float,
    most: float,
    has_time: Callable[[], bool],
    is_whole: bool = False,
) -> Iterator[Step]:
    """Measured steps in order, from `start` on and never above `most`; 1/64 of it is given up.

    A step that fails is measured once more: a machine does other things at times. `is_whole` tries
    whole numbers only.
    """
    kept, failed, load = 0.0, math.inf, min(start, most)
    while has_time() and load >= (1 if is_whole else start / 64):
        step = measure(load)
        yield step
        if not step.is_kept:
            step = measure(load)
            yield step
        if step.is_kept:
            kept = load
        else:
            failed = load
        if kept >= most or (kept and failed / kept <= CLOSE_ENOUGH):
            return
        load = _next_load(kept, failed, most, is_whole)
        if load in (kept, failed):
            return


def _next_load(kept: float, failed: float, most: float, is_whole: bool) -> float:
    if not kept:
        load = failed / 2
    elif math.isinf(failed):
        load = min(2 * kept, most)
    else:
        load = math.sqrt(kept * failed)
    return math.floor(load) if is_whole else load


def found(steps: Iterable[Step]) -> Found:
    """A load fails only when none of its measurements kept the SLO."""
    steps = list(steps)
    kept = {step.load: step for step in steps if step.is_kept}
    failed = {step.load for step in steps} - kept.keys()
    return Found(
        max(kept.values(), key=lambda step: step.load, default=None), min(failed, default=None)
    )
