"""What is asserted after every fault."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from tests.chaos.resources import Use
from tests.chaos.scenario import ERROR_BOUND_S, Finding, error_s, tally
from tests.chaos.site import Running
from tests.chaos.traffic import Outcome

FIRST_LOOK_S = 1.0
"""From a fault until its recovery is looked at, beside the requests that met it."""


class Recovery:
    """Waits beside the block until all is well again."""

    def __init__(self, running: Running, fault_at: float) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._found = self._pool.submit(running.recover, fault_at, FIRST_LOOK_S)

    def __enter__(self) -> "Recovery":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def seconds(self) -> float | None:
        """From the fault; None when that took too long."""
        return self._found.result()


def judge(
    running: Running,
    before: Use,
    outcomes: Sequence[Outcome],
    fault_at: float,
    replaced: frozenset[str] = frozenset(),
) -> Finding:
    """Judges a fault that ends no process but those of models that are `replaced` on purpose.

    All must be well at once, so no time of recovery is told.
    """
    is_well = running.recover(fault_at) is not None
    found = _finding(running, before, outcomes, fault_at, is_well, may_die=False)
    return found.with_faults(*_ended(running, before, replaced))


def judge_outage(
    running: Running,
    before: Use,
    outcomes: Sequence[Outcome],
    fault_at: float,
    recovery_s: float | None,
) -> Finding:
    """Judges a fault that ends processes: ends, time to error, recovery and leaks."""
    found = _finding(running, before, outcomes, fault_at, recovery_s is not None, may_die=True)
    return found.with_recovery(recovery_s)


def _finding(
    running: Running,
    before: Use,
    outcomes: Sequence[Outcome],
    fault_at: float,
    is_well: bool,
    may_die: bool,
) -> Finding:
    found = Finding(
        tally(outcomes),
        error_s(outcomes, fault_at),
        faults=tuple(dict.fromkeys(running.oracle.faults(outcomes))),
        leaks=running.leaks_since(before, may_die) if is_well else (),
        known=running.known_leaks_since(before, may_die),
    )
    if not is_well:
        found = found.with_faults("not well again within the bound")
    if (found.error_s or 0) > ERROR_BOUND_S:
        found = found.with_faults(f"an error took {found.error_s:.1f} s")
    return found


def _ended(running: Running, before: Use, replaced: frozenset[str]) -> Iterator[str]:
    pids = {process.pid for process in running.use().processes}
    for process in before.processes:
        if process.pid not in pids and process.name not in replaced:
            yield f"{process.name}'s process ended"
