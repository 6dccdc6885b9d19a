"""What a scenario is, and what it finds."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.traffic import Outcome

if TYPE_CHECKING:
    from tests.chaos.site import Site

ERROR_BOUND_S = 15.0
"""From a fault, or from a later request's sending, to its error."""
RECOVERY_BOUND_S = 30.0
"""From a fault until every entry answers rightly again."""
HANG_S = 40.0
"""A request that has not ended by now is taken to hang."""


@dataclass(frozen=True)
class Finding:
    """What was seen. `faults` break a promise of ours; `known` are Triton's, with the reason."""

    seen: str
    error_s: float | None = None
    recovery_s: float | None = None
    faults: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    leaks: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """`ok`, `known` where only Triton's own fault was seen, or `FAILED`."""
        if self.faults or self.leaks:
            return "FAILED"
        return "known" if self.known else "ok"

    def with_faults(self, *faults: str) -> "Finding":
        return replace(self, faults=self.faults + faults)

    def with_recovery(self, recovery_s: float | None) -> "Finding":
        """The time until all was well."""
        return replace(self, recovery_s=recovery_s)


@dataclass(frozen=True)
class Scenario:
    """One fault: `done` says in a sentence what is done to the server."""

    name: str
    done: str
    run: Callable[["Site"], Finding]


def tally(outcomes: Sequence[Outcome]) -> str:
    """How requests ended, and the first error's words."""
    parts = []
    for end in ("answer", "error", "cancelled", "hung", "faulty"):
        if count := sum(outcome.end == end for outcome in outcomes):
            parts.append(f"{count} × {end}")
    errors = (brief(o.error) for o in outcomes if o.end in ("error", "faulty"))
    return ", ".join(parts) + next((f": “{error}”" for error in errors), "")


def brief(error: str) -> str:
    """An error that fits a table; ports and process ids, which differ each time, left out."""
    line = " ".join(error.split()).replace("|", "/")
    return line if len(line) < 110 else line[:107] + "…"


def error_s(outcomes: Sequence[Outcome], fault_at: float) -> float | None:
    """The longest time to an error, from the fault or from a later sending."""
    times = [
        min(outcome.elapsed_s, outcome.ended_at - fault_at)
        for outcome in outcomes
        if outcome.end == "error"
    ]
    return max(times, default=None)
