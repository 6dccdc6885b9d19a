"""Ends a tritonserver so that every request in flight is answered, within a bound.

Triton's own way (2.51) waits for idle HTTP connections, and for requests of models that died,
until its exit timeout, and then calls it a failure.
"""

import signal
import time
from collections.abc import Callable
from dataclasses import dataclass

from operations.server import TritonServer
from operations.supervisor import connections, quiet
from operations.supervisor.connections import Connection, Traffic
from operations.supervisor.events import SERVER, Cause
from operations.supervisor.journal import Journal
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import NoAnswer, TritonApi

STEP_S = 0.1


@dataclass(frozen=True)
class Drained:
    """How it went: whether all requests were answered, how many connections were ended, whether
    the server had to be killed, and its exit status."""

    complete: bool
    connections: int
    killed: bool
    status: int


class Drain:
    """`run` blocks for at most `drain_s` and `exit_s`.

    `has_leaks`: a model died before, so the server may wait for requests that never end.
    """

    def __init__(
        self,
        server: TritonServer,
        api: TritonApi,
        settings: Settings,
        journal: Journal,
        has_leaks: bool,
    ) -> None:
        self._api = api
        self._server, self._settings, self._journal = server, settings, journal
        self._has_leaks = has_leaks
        self._pid, self._ended = server.pid, 0
        self._alone_since_s: float | None = None
        self._quiet = quiet.models_of(self._pid)

    def run(self) -> Drained:
        """SIGTERM, patience, then less of it."""
        self._server.send(signal.SIGTERM)
        complete = _wait(self._settings.drain_s, self._step)
        exited = self._server.status() is not None
        if not exited:
            self._ended += self._end(frozenset(self._open(self._ports)))
            if not (complete and self._has_leaks):
                exited = _wait(self._settings.exit_s, lambda: self._server.status() is not None)
        self._server.kill()
        status = self._server.status()
        return Drained(complete, self._ended, not exited, 0 if status is None else status)

    @property
    def _ports(self) -> tuple[int, ...]:
        return (self._server.ports.http, self._server.ports.grpc)

    def _step(self) -> bool:
        """End idle connections; whether there is nothing left to wait for."""
        if self._server.status() is not None:
            return True
        if self._is_alone():
            return True
        idle_s = self._idle_s()
        http = {one: self._traffic(one) for one in self._open(self._ports[:1])}
        idle = [
            one
            for one, traffic in http.items()
            if traffic and traffic.was_answered and traffic.silent_s > idle_s
        ]
        self._ended += self._end(frozenset(idle))
        return self._end_silent_grpc(idle_s) and len(idle) == len(http) and self._has_leaks

    def _end_silent_grpc(self, idle_s: float) -> bool:
        """Whether all gRPC connections are silent; they are ended once no model computes.

        Who sent last says nothing there (HTTP/2 acknowledges), so that silence alone may be a
        request that takes long. An open stream without a request keeps tritonserver up for ever.
        """
        grpc = {one: self._traffic(one) for one in self._open(self._ports[1:])}
        silent = [one for one, traffic in grpc.items() if traffic and traffic.silent_s > idle_s]
        if self._quiet.seconds() > idle_s:
            self._ended += self._end(frozenset(silent))
        return len(silent) == len(grpc)

    def _is_alone(self) -> bool:
        """Whether nobody has been connected for `exit_s`: nobody is left to get an answer.

        Triton ends by itself before that, unless a load failed earlier: then it waits for the model
        until its exit timeout (2.51).
        """
        if self._open(self._ports):
            self._alone_since_s = None
            return False
        now_s = time.monotonic()
        self._alone_since_s = now_s if self._alone_since_s is None else self._alone_since_s
        return now_s - self._alone_since_s >= self._settings.exit_s

    def _idle_s(self) -> float:
        """How long an answered connection must be silent before it is taken for idle."""
        try:
            is_generating = self._api.is_generating()
        except NoAnswer:
            is_generating = True
        return self._settings.idle_generating_s if is_generating else self._settings.idle_s

    def _open(self, ports: tuple[int, ...]) -> list[Connection]:
        return list(connections.established(self._pid, ports))

    def _traffic(self, connection: Connection) -> Traffic | None:
        try:
            return connections.traffic(self._pid, connection)
        except connections.Forbidden as error:
            self._refused(error)
            return None

    def _end(self, wanted: frozenset[Connection]) -> int:
        try:
            return connections.end(self._pid, wanted)
        except connections.Forbidden as error:
            self._refused(error)
            return 0

    def _refused(self, error: Exception) -> None:
        action = f"idle connections can't be told or ended: {error}"
        self._journal.add_once(SERVER, Cause.REFUSED, action)


def _wait(bound_s: float, is_over: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + bound_s
    while not is_over():
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP_S)
    return True
