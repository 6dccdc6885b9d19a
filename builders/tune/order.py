"""What is to be tuned, and how much may be spent on it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from builders.errors import BuildError
from builders.spec import Sku
from builders.tune.objective import WORKLOADS, Limit, Workload
from builders.tune.search import Pairs

DEFAULT_CLIENTS: dict[Workload, int] = {"embed": 8, "rerank": 4, "llm": 16, "rag": 8}
MOST_CLIENTS = 512

FULL_MINUTES = 20
"""Slices have their full length from here on; a shorter run has shorter ones."""

SLICE_S = 2.0
SHORTEST_SLICE_S = 0.5

LONGER: dict[Workload, float] = {"embed": 1.2, "rerank": 1.2, "llm": 1.2, "rag": 3.0}
"""What a slice takes of `slice_s`, about: answers under way are waited for, and each client has its
rounds. A guess, until the first pair was measured.
"""

MOST_CONFIRMING = 0.7
"""Share of the time that the final measurement may take."""

START_S = 4.0
"""To start and warm up a server: a guess, for plans."""


@dataclass(frozen=True)
class Clients:
    """Requests in flight, by workload."""

    by_workload: Mapping[Workload, int]

    def of(self, workload: Workload) -> int:
        """Of one workload."""
        return self.by_workload[workload]


@dataclass(frozen=True)
class Schedule:
    """What a run may take. `pairs` are those of each race."""

    minutes: float
    slice_s: float
    pairs: Pairs

    @property
    def seconds(self) -> float:
        """All of it."""
        return 60 * self.minutes

    def pair_s(self, workload: Workload) -> float:
        """What a pair takes, by guess."""
        return 2 * self.slice_s * LONGER[workload]


@dataclass(frozen=True)
class Order:
    """What is to be tuned, checked."""

    sku: Sku
    limits: tuple[Limit, ...]
    clients: Clients
    plan: Schedule


def parse_clients(text: str) -> Clients:
    """Of `embed=8 rag=4`; what is not named has its default. Raises `BuildError`."""
    found = dict(DEFAULT_CLIENTS)
    for word in text.replace(",", " ").split():
        name, _, number = word.partition("=")
        workload = next((w for w in WORKLOADS if w == name), None)
        if workload is None or not number.isdigit() or not 1 <= int(number) <= MOST_CLIENTS:
            raise BuildError(
                f"clients '{word}'; WORKLOAD=NUMBER is needed, with one of {', '.join(WORKLOADS)} "
                f"and 1 to {MOST_CLIENTS}, as in 'embed=8 rag=4'"
            )
        found[workload] = int(number)
    return Clients(found)


def schedule(minutes: float, asked: Sequence[Workload]) -> Schedule:
    """Raises `BuildError` where the final measurement leaves too little for the search."""
    slice_s = max(SHORTEST_SLICE_S, SLICE_S * min(1.0, minutes / FULL_MINUTES))
    plan = Schedule(minutes, slice_s, Pairs())
    need = (2 * START_S + plan.pairs.confirm * sum(map(plan.pair_s, asked))) / 60
    if need > MOST_CONFIRMING * minutes:
        raise BuildError(
            f"--minutes {minutes:g}: the final measurement of {', '.join(asked)} alone takes "
            f"{need:.1f}; give at least {need / MOST_CONFIRMING:.1f}, or fewer workloads in the SLO"
        )
    return plan
