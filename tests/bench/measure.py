"""Runs points interleaved; keeps what was measured when a variant fails or the run is stopped."""

import asyncio
import itertools
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.bench.results import Fact, Measured, Point, Repeat, Results, SectionResult, read, write
from tests.bench.services import Services, Variant
from tests.load.loops import Window, closed_loop, interleaved, open_loop
from tests.load.records import Record
from tests.load.summary import summarize
from tests.load.workloads import Request

REQUEST_TIMEOUT_S = 60.0
_WARM_UP = Window(0.4, rounds=1, most_s=20.0)
_WARM_UP_CLIENTS = 4
"""At most, and where requests come by themselves."""
_WARM_UP_REQUESTS = 16
_GIVE_UP_AFTER = 2
"""Faults of a variant in a section: beyond it the rest of its points is skipped."""


@dataclass(frozen=True)
class Load:
    """How a point is loaded: a window for a closed loop, or arrivals for an open one."""

    window: Window
    arrivals_s: tuple[float, ...] = ()


@dataclass(frozen=True)
class Job:
    """A point to measure, with `pool` requests a run: more than it will send."""

    point: Point
    variant: Variant
    requests: Callable[[], Iterator[Request]]
    load: Load
    pool: int = 64


Run = Callable[[], list[Record]]


@dataclass
class Recorder:
    """One section while it is being measured; every group of points is written at once."""

    section: SectionResult
    repeats: int
    services: Services
    expected_runs: int = 0
    _begun_s: float = field(default_factory=time.monotonic)
    _runs: int = 0
    _cores: float = 0.0
    """Cores that this process took in the latest run; 0 for runs that brought their own load."""
    _faults: dict[str, int] = field(default_factory=dict)

    def add(self, jobs: Sequence[Job], repeats: int = 0) -> list[Measured]:
        """Measure jobs of one load, interleaved."""
        runs = [(job.point, self.prepared(job)) for job in jobs]
        return self.add_runs(runs, repeats)

    def add_runs(self, runs: Sequence[tuple[Point, Run]], repeats: int = 0) -> list[Measured]:
        """Like `add`, for runs that bring their own load."""
        found = {point: Measured(point, ()) for point, _ in runs}
        for _, (point, run) in interleaved(runs, repeats or self.repeats):
            found[point] = self._one(found[point], run)
        self.section = replace(
            self.section,
            measured=(*self.section.measured, *found.values()),
            took_s=time.monotonic() - self._begun_s,
        )
        self.save()
        return list(found.values())

    def note(self, *facts: Fact) -> None:
        """Figures that no load gave."""
        self.section = replace(self.section, facts=(*self.section.facts, *facts))
        self.save()

    def save(self) -> None:
        """The section so far, beside the others in the file."""
        faults = tuple(f"{name}: {why}" for name, why in self.services.faults.items())
        self.section = replace(self.section, faults=faults)
        write(read().with_section(self.section))

    def finish(self) -> Results:
        """The whole section is there."""
        took_s = time.monotonic() - self._begun_s
        self.section = replace(self.section, is_complete=True, took_s=took_s)
        self.save()
        return read()

    def _one(self, before: Measured, run: Run) -> Measured:
        """One more repeat, or the fault that there is none."""
        name = before.point.variant
        if self._faults.get(name, 0) >= _GIVE_UP_AFTER:
            return replace(before, fault=before.fault or "skipped after faults at other points")
        try:
            self._cores = 0.0
            with self.services.others_stopped(name):
                records = run()
            repeat = Repeat(summarize(records), self._cores)
        except Exception as error:  # one variant's fault must not lose the others' figures
            fault = f"{type(error).__name__}: {error}"[:200]
            return self._failed(before, fault)
        if not repeat.summary.answered:
            return self._failed(before, f"no answer; faults: {', '.join(repeat.summary.faults)}")
        self._say(before.point, f"{repeat.summary.work_per_s:.4g}/s")
        return replace(before, repeats=(*before.repeats, repeat))

    def _failed(self, before: Measured, fault: str) -> Measured:
        name = before.point.variant
        self._faults[name] = self._faults.get(name, 0) + 1
        self._say(before.point, fault)
        return replace(before, fault=fault)

    def _say(self, point: Point, what: str) -> None:
        self._runs += 1
        elapsed_s = time.monotonic() - self._begun_s
        of = f"/{self.expected_runs}" if self.expected_runs else ""
        print(f"  [{elapsed_s:4.0f} s, run {self._runs}{of}] {point}: {what}", flush=True)

    def prepared(self, job: Job) -> Run:
        """Warmed up before its first run. Each run has requests that nobody has seen: our embedder
        keeps rows (docs/decisions/0016). They are made and encoded before the clock runs.
        """
        is_warm = False

        def fresh(count: int) -> list[object]:
            return [
                job.variant.prepare(request) for request in itertools.islice(job.requests(), count)
            ]

        def run() -> list[Record]:
            nonlocal is_warm
            if not is_warm:
                self._limited(_warm_up(job, fresh(_WARM_UP_REQUESTS)), _WARM_UP.most_s)
                is_warm = True
            jobs = fresh(max(job.pool, len(job.load.arrivals_s)))
            most_s = max(job.load.window.most_s, *job.load.arrivals_s[-1:], 0.0)
            start_s, cpu_s = time.perf_counter(), time.process_time()
            records = self._limited(_load(job, jobs), most_s)
            self._cores = (time.process_time() - cpu_s) / (time.perf_counter() - start_s)
            return records

        return run

    def _limited(self, what: Coroutine[Any, Any, list[Record]], most_s: float) -> list[Record]:
        """Ends what hangs."""
        limit_s = most_s + REQUEST_TIMEOUT_S + 10
        return self.services.loop.run(asyncio.wait_for(what, limit_s))


async def _warm_up(job: Job, jobs: Sequence[object]) -> list[Record]:
    clients = min(job.point.clients or _WARM_UP_CLIENTS, _WARM_UP_CLIENTS)
    cycle = itertools.cycle(jobs)
    return await closed_loop(job.variant.send, cycle, clients, _WARM_UP, REQUEST_TIMEOUT_S)


async def _load(job: Job, jobs: Sequence[object]) -> list[Record]:
    cycle, load, send = itertools.cycle(jobs), job.load, job.variant.send
    if load.arrivals_s:
        return await open_loop(send, cycle, load.arrivals_s, REQUEST_TIMEOUT_S)
    return await closed_loop(send, cycle, job.point.clients, load.window, REQUEST_TIMEOUT_S)
