"""The largest load that keeps an SLO: double until a load fails, then halve the gap."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["clients", "requests/s"]
"""`clients`: a closed loop of so many; `requests/s`: an open loop with Poisson arrivals."""
CLOSE_ENOUGH = 1.1
"""The search ends when the lowest failed load is at most this factor above the largest kept one."""


@dataclass(frozen=True)
class Step:
    """One measured load; `measured_s` is the SLO's percentile."""

    kind: Kind
    load: float
    requests: int
    answered: int
    answered_per_s: float
    measured_s: float
    is_kept: bool


def search(
    measure: Callable[[float], Step],
    start: float,
    most: float,
    has_time: Callable[[], bool],
    is_whole: bool = False,
) -> Iterator[Step]:
    """Measured steps in order, `start` first, none above `most`; gives up at 1/64 of `start`.

    A load that fails is measured once more: a machine does other things at times.
    `is_whole` tries whole numbers only, from 1 on.
    """
    kept, failed, load = 0.0, math.inf, min(start, most)
    least = 1 if is_whole else start / 64
    while load >= least and load not in (kept, failed) and has_time():
        step = measure(load)
        yield step
        if not step.is_kept:
            step = measure(load)
            yield step
        kept, failed = (load, failed) if step.is_kept else (kept, load)
        if kept and failed / kept <= CLOSE_ENOUGH:
            return
        load = _next_load(kept, failed, most)
        load = math.floor(load) if is_whole else load


def _next_load(kept: float, failed: float, most: float) -> float:
    if not kept:
        return failed / 2
    return min(2 * kept, most) if math.isinf(failed) else math.sqrt(kept * failed)


def largest_kept(steps: Sequence[Step], kind: Kind) -> Step | None:
    kept = (step for step in steps if step.kind == kind and step.is_kept)
    return max(kept, key=lambda step: step.load, default=None)


def lowest_failed(steps: Sequence[Step], kind: Kind) -> float | None:
    """The lowest load that never kept the SLO."""
    kept = {step.load for step in steps if step.kind == kind and step.is_kept}
    return min({step.load for step in steps if step.kind == kind} - kept, default=None)
