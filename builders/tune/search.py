"""Coordinate search by races: each change against the best placement so far, side by side.

A race begins with a few pairs and goes on only while the change may still be a gain. What the
search picks is picked among many, so chance has a hand in it: `confirm` measures the final
placement anew against the default, on every workload, and only that decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from builders.spec import Sku
from builders.tune.change import Changes, effective, merged
from builders.tune.decision import Judgement, Pair, judge
from builders.tune.objective import Limit, Workload

SEARCH_CONFIDENCE = 0.95
PROMISING = 1.01
"""A ratio that is worth more pairs: so few of them would not show a smaller gain."""

FAMILY_ERROR = 0.05
"""Of the final measurement: the chance that noise alone passes for a gain in any workload."""


class Phase(StrEnum):
    """What a measurement is for. Those of one are never used for the other."""

    SEARCH = "search"
    CONFIRM = "confirm"


class TimeIsUp(Exception):
    """There is no time for another measurement."""


class ServerFault(Exception):
    """A server with the candidate's placement does not come up."""


@dataclass(frozen=True)
class Race:
    """What is to be measured: a candidate against a reference under a workload."""

    phase: Phase
    workload: Workload
    reference: Changes
    candidate: Changes


@dataclass(frozen=True)
class Trial:
    """A race that was run. `judgement` is None where the candidate's server did not come up."""

    race: Race
    pairs: int
    judgement: Judgement | None

    @property
    def is_gain(self) -> bool:
        """Whether the candidate is better."""
        return self.judgement is not None and self.judgement.verdict.is_gain

    @property
    def is_harm(self) -> bool:
        """Whether the candidate is worse."""
        return self.judgement is None or self.judgement.verdict.is_harm


class Lab(Protocol):
    """Where races are run."""

    def measure(self, race: Race, pairs: int) -> Sequence[Pair]:
        """At least so many pairs of the race, those measured before among them.

        Raises `TimeIsUp`, `ServerFault`.
        """

    def tell(self, trial: Trial) -> None:
        """Take note of a trial and show it."""


@dataclass(frozen=True)
class Pairs:
    """How many pairs of slices: to see whether a change is promising, to take it, to confirm."""

    glance: int = 3
    look: int = 10
    confirm: int = 12


def search(
    workload: Workload,
    sku: Sku,
    start: Changes,
    moves: Sequence[Changes],
    limits: Sequence[Limit],
    lab: Lab,
    pairs: Pairs,
) -> Changes:
    """The best changes found for a workload, beginning at `start`; ends early without time."""
    best, seen = start, {start}
    try:
        for move in moves:
            candidate = effective(sku, merged(best, move))
            if candidate in seen:
                continue
            seen.add(candidate)
            if _run(Race(Phase.SEARCH, workload, best, candidate), limits, lab, pairs).is_gain:
                best = candidate
    except TimeIsUp:
        return best  # what is known by now counts
    return best


def _run(race: Race, limits: Sequence[Limit], lab: Lab, pairs: Pairs) -> Trial:
    """A glance, and a look where it is worth one."""
    trial = _measured(race, limits, lab, pairs.glance, SEARCH_CONFIDENCE)
    if is_promising(trial.judgement):
        trial = _measured(race, limits, lab, pairs.look, SEARCH_CONFIDENCE)
    lab.tell(trial)
    return trial


def is_promising(judgement: Judgement | None) -> bool:
    """Whether more pairs may show a gain."""
    if judgement is None or judgement.verdict.is_harm:
        return False
    return judgement.ratio.mean > PROMISING or not judgement.reference_meets


def _measured(
    race: Race, limits: Sequence[Limit], lab: Lab, pairs: int, confidence: float
) -> Trial:
    try:
        found = lab.measure(race, pairs)
    except ServerFault:
        return Trial(race, 0, None)
    return Trial(race, len(found), judge(found, limits, confidence))


def confirm(
    stages: Sequence[tuple[Workload, Changes]],
    limits: Sequence[Limit],
    lab: Lab,
    pairs: Pairs,
) -> Changes:
    """The placement to take: the last stage's, or an earlier one, or none: the default.

    `stages` are the workloads in order, with the best placement after each. A placement is taken
    when it is a gain in some workload and does harm in none.
    """
    workloads = [workload for workload, _ in stages]
    finals = list(dict.fromkeys(changes for _, changes in reversed(stages) if changes))
    confidence = 1 - FAMILY_ERROR / (len(workloads) * max(1, len(finals)))
    try:
        for final in finals:
            if _is_confirmed(workloads, final, limits, lab, pairs.confirm, confidence):
                return final
    except TimeIsUp:
        return ()  # not confirmed: the default stays
    return ()


def _is_confirmed(
    workloads: Sequence[Workload],
    final: Changes,
    limits: Sequence[Limit],
    lab: Lab,
    pairs: int,
    confidence: float,
) -> bool:
    gains = 0
    for workload in workloads:
        race = Race(Phase.CONFIRM, workload, (), final)
        own = [limit for limit in limits if limit.workload == workload]
        trial = _measured(race, own, lab, pairs, confidence)
        lab.tell(trial)
        if trial.is_harm:
            return False
        gains += trial.is_gain
    return gains > 0
