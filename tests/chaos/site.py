"""Servers for scenarios: one that is shared while it is well, others for faults of their own."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from builders.repository import REPOSITORY
from operations.ports import Ports
from tests.chaos import requests
from tests.chaos.leaks import known_leaks, leaks
from tests.chaos.namespace import clear_shared_memory
from tests.chaos.oracle import Oracle
from tests.chaos.repositories import WORK
from tests.chaos.requests import Request
from tests.chaos.resources import Use, kv_used, model_processes, use
from tests.chaos.scenario import HANG_S, RECOVERY_BOUND_S
from tests.chaos.serving import Starter, grpc_address, start, wait_until
from tests.chaos.traffic import Outcome, send_all

QUESTIONS = 4
LONG_STREAMS = 6
LONG_RAGS = 4


@dataclass(frozen=True)
class Running:
    """A server that is up, and the right answers."""

    server: Any
    oracle: Oracle
    small: tuple[Request, ...]
    """Requests to every entry, several of each."""
    long: tuple[Request, ...]
    """Streams of a second or more, of `llm` and `rag_cancellable`."""
    warm: set[int] = field(default_factory=set)
    """Processes that have worked."""

    @property
    def ports(self) -> Ports:
        return self.server.ports  # type: ignore[no-any-return]

    @property
    def address(self) -> str:
        return grpc_address(self.ports)

    def processes(self) -> dict[str, psutil.Process]:
        """Each model's process."""
        return dict(model_processes(self.server.pid))

    def pid_of(self, model: str) -> int | None:
        """The pid of the model's process; None while it has none."""
        process = self.processes().get(model)
        return process.pid if process else None

    def warm_use(self) -> Use:
        """What it holds once every process has had its share of the work.

        A young process takes memory with its first requests, which is no leak.
        """
        pids = {process.pid for process in self.processes().values()}
        if not pids <= self.warm:
            send_all(self.address, [*self.small, *self.long], HANG_S, 16)
            self.warm.update(pids)
        return self.use()

    def use(self) -> Use:
        """What it holds, once nothing is in flight."""
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: kv_used(self.ports) <= 0, 3)
        return use(self.server.pid, self.ports)

    def one_of_each(self) -> list[Request]:
        """The first request to each entry."""
        return list({request.model: request for request in reversed(self.small)}.values())

    def streams(self, model: str) -> list[Request]:
        """Long streams of this entry."""
        return [request for request in self.long if request.model == model]

    def send(self, to_send: list[Request], at_once: int = 8) -> list[Outcome]:
        """All of them; their outcomes."""
        return send_all(self.address, to_send, HANG_S, at_once)

    def is_well(self) -> bool:
        """Whether every entry answers, and rightly."""
        outcomes = send_all(self.address, self.one_of_each(), 5.0)
        return all(self.oracle.is_right(outcome) for outcome in outcomes)

    def recover(self, fault_at: float, first_look_s: float = 0.0) -> float | None:
        """Seconds from the fault until all is well; None when that took too long.

        Requests of the first look wait with others for what has died, and make them wait longer.
        """
        time.sleep(first_look_s)
        try:
            wait_until(self.is_well, RECOVERY_BOUND_S)
        except TimeoutError:
            return None
        return time.monotonic() - fault_at

    def known_leaks_since(self, before: Use, may_die: bool) -> tuple[str, ...]:
        """What it holds more of through Triton's own fault."""
        return tuple(known_leaks(before, self.use(), may_die))

    def leaks_since(self, before: Use, may_die: bool) -> tuple[str, ...]:
        """What it holds more of than it did; of processes that died, where any `may_die`."""
        with contextlib.suppress(TimeoutError):  # closing a connection or file takes a moment
            wait_until(lambda: not list(leaks(before, self.use(), may_die)), 5, 0.5)
        return tuple(leaks(before, self.use(), may_die))


class Site:
    """Where scenarios get their servers; the answers are learned once, from a healthy one."""

    def __init__(self, starter: Starter) -> None:
        self._starter = starter
        self._oracle = Oracle()
        self._small: tuple[Request, ...] = ()
        self._long: tuple[Request, ...] = ()
        self._stack = contextlib.ExitStack()
        self._kept: Running | None = None
        self._kept_name = ""

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *_: object) -> None:
        self.end_kept()

    def shared(self) -> Running:
        """The server over model_repository/ as it is."""
        return self.kept("shared", lambda: REPOSITORY)

    def kept(self, name: str, make_repository: Callable[[], Path]) -> Running:
        """A server that goes on to the next scenario, unless it is unwell or of another name."""
        if self._kept is not None and (self._kept_name != name or not self._kept.is_well()):
            self.end_kept()
        if self._kept is None:
            fresh = self.fresh(name, make_repository())
            self._kept, self._kept_name = self._stack.enter_context(fresh), name
        return self._kept

    def end_kept(self) -> None:
        """Two servers would need twice the memory and share the cores."""
        self._kept = None
        self._stack.close()

    @contextlib.contextmanager
    def fresh(
        self,
        name: str,
        repository: Path = REPOSITORY,
        log: Path | None = None,
        temporary: Path | None = None,
    ) -> Iterator[Running]:
        """A server of its own, of any repository that gives the same answers.

        `temporary` is its folder for temporary files.
        """
        with _variable("TMPDIR", temporary):
            server = start(self._starter, log or WORK / f"{name}.log", repository)
            server.__enter__()
        processes: list[psutil.Process] = []
        try:
            self._learn(grpc_address(server.ports))
            running = Running(server, self._oracle, self._small, self._long)
            processes = [psutil.Process(server.pid), *running.processes().values()]
            yield running
        finally:
            server.stop()
            _end(processes)
            clear_shared_memory()  # or the next server would begin with what this one left

    def start(self, name: str, repository: Path) -> Any:
        """A server that may not come up: a context manager whose beginning may raise."""
        return start(self._starter, WORK / f"{name}.log", repository)

    def _learn(self, address: str) -> None:
        if not self._small:
            to_send = [a for n in range(QUESTIONS) for a in requests.one_of_each(n)]
            self._small = tuple(self._oracle.learn(address, to_send))
            streams = map(requests.long_stream, range(100, 100 + LONG_STREAMS))
            rags = map(requests.long_rag, range(LONG_RAGS))
            self._long = tuple(self._oracle.learn(address, [*streams, *rags]))


@contextlib.contextmanager
def _variable(name: str, value: Path | None) -> Iterator[None]:
    if value is None:
        yield
        return
    os.environ[name] = str(value)
    try:
        yield
    finally:
        del os.environ[name]


def _end(processes: Sequence[psutil.Process]) -> None:
    """What outlived a server that was stopped: a stopped process does."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # also when its number is another's now
            process.kill()
