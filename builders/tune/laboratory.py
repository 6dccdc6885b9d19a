"""Runs races: two servers side by side, load on one at a time, results kept as they come."""

import itertools
import time
from collections.abc import Callable, Sequence

from builders.errors import BuildError
from builders.tune.change import Changes
from builders.tune.decision import Pair, Slice
from builders.tune.objective import Workload
from builders.tune.order import START_S, Schedule
from builders.tune.results import Results
from builders.tune.search import Race, TimeIsUp, Trial
from builders.tune.trial_server import TrialServers

MeasureSlice = Callable[[Workload, str, int], Slice]
"""Puts load on the server at an address (host:port of gRPC); the same for the same seed."""


class Laboratory:
    """A `Lab` of real servers. `deadline_s` gives a time of `time.monotonic`, asked each time: how
    long a measurement takes is only known behind the first of its kind.
    """

    def __init__(
        self,
        servers: TrialServers,
        measure_slice: MeasureSlice,
        plan: Schedule,
        results: Results,
        show: Callable[[Trial], None],
    ) -> None:
        self._servers, self._measure_slice, self._results = servers, measure_slice, results
        self._show = show
        self._pair_s: dict[Workload, float] = {}
        self._plan = plan
        self._seeds = itertools.count()
        self.trials: list[Trial] = []
        self.deadline_s: Callable[[], float] = time.monotonic

    def tell(self, trial: Trial) -> None:
        """Keep and show."""
        self.trials.append(trial)
        self._show(trial)

    def pair_s(self, workload: Workload) -> float:
        """How long a pair takes: as the last one did."""
        return self._pair_s.get(workload, self._plan.pair_s(workload))

    def measure(self, race: Race, pairs: int) -> Sequence[Pair]:
        """As in `Lab`; raises `BuildError` where requests of the default fail."""
        known = self._results.pairs(race)
        missing = pairs - len(known)
        if missing > 0:
            self._check_time(race, missing)
            for changes in (race.reference, race.candidate):
                self._warm_up(race.workload, changes)
            for number in range(len(known), pairs):
                self._results.add(race, [self._pair(race, number)])
        return self._results.pairs(race)

    def _check_time(self, race: Race, pairs: int) -> None:
        """A measurement that would end behind the deadline is not begun."""
        need_s = pairs * self.pair_s(race.workload) + START_S
        if time.monotonic() + need_s > self.deadline_s():
            raise TimeIsUp

    def _pair(self, race: Race, number: int) -> Pair:
        """The same requests for both, never sent before: caches would know them. Every other pair
        backwards: nobody always follows the same one.
        """
        start_s, seed = time.monotonic(), next(self._seeds)
        both = (race.reference, race.candidate)
        order = both if number % 2 == 0 else both[::-1]
        slices = {changes: self._slice(race.workload, changes, seed) for changes in order}
        self._pair_s[race.workload] = time.monotonic() - start_s
        pair = Pair(slices[race.reference], slices[race.candidate])
        if pair.reference.failed and not race.reference:
            raise BuildError(
                f"{race.workload}: {pair.reference.failed} requests to a server with the default "
                "placement failed in one slice: ask for fewer --clients, or see its log in "
                "build/tune"
            )
        return pair

    def _warm_up(self, workload: Workload, changes: Changes) -> None:
        """Before the first pair, so that the two of a pair are close in time."""
        running = self._servers.with_changes(changes)
        if workload not in running.warm:
            self._measure_slice(workload, running.url, next(self._seeds))
            running.warm.add(workload)

    def _slice(self, workload: Workload, changes: Changes, seed: int) -> Slice:
        return self._measure_slice(workload, self._servers.with_changes(changes).url, seed)
