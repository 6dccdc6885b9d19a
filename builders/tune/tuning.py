"""A whole run within its time: a search for each workload, then the final measurement."""

import time
from collections.abc import Callable, Sequence

from builders.tune.change import Changes
from builders.tune.laboratory import Laboratory
from builders.tune.objective import Workload, workloads
from builders.tune.order import START_S, Order, Schedule
from builders.tune.search import confirm, search
from builders.tune.space import moves


def tune(order: Order, cores: int, lab: Laboratory, say: Callable[[str], None]) -> Changes:
    """The changes to take, confirmed; none: the default stays."""
    limits, plan = order.limits, order.plan
    end_s = time.monotonic() + plan.seconds
    asked = list(workloads(limits))
    stages: list[tuple[Workload, Changes]] = []
    best: Changes = ()
    to_try = {workload: moves(workload, order.sku, cores) for workload in asked}
    for number, workload in enumerate(asked):
        costs = [len(to_try[w]) * lab.pair_s(w) for w in asked[number:]]
        lab.deadline_s = _share(end_s, costs[0] / sum(costs), asked, plan, lab)
        own = [limit for limit in limits if limit.workload == workload]
        left_s = max(0.0, lab.deadline_s() - time.monotonic())
        say(f"{workload}: {len(to_try[workload])} changes to try in {left_s / 60:.1f} minutes")
        best = search(workload, order.sku, best, to_try[workload], own, lab, plan.pairs)
        stages.append((workload, best))
    confirmed_s = max(end_s, time.monotonic() + 1.5 * _confirm_s(asked, plan, lab))
    lab.deadline_s = lambda: confirmed_s
    if best:
        say("the final placement against the default, measured anew")
    return confirm(stages, limits, lab, plan.pairs)


def _share(
    end_s: float, share: float, asked: Sequence[Workload], plan: Schedule, lab: Laboratory
) -> Callable[[], float]:
    """When a share of the time from now up to the final measurement is over."""
    begin_s = time.monotonic()
    return lambda: begin_s + (end_s - _confirm_s(asked, plan, lab) - begin_s) * share


def _confirm_s(asked: Sequence[Workload], plan: Schedule, lab: Laboratory) -> float:
    """How long the final measurement takes."""
    return 2 * START_S + sum(plan.pairs.confirm * lab.pair_s(workload) for workload in asked)
