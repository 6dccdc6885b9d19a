"""Ends a tritonserver so that every request in flight is answered, within a bound.

After SIGTERM tritonserver (2.51) takes no new connections and finishes what it has, but waits for
idle connections, and for streams without a request, until its exit timeout. Its metrics page still
answers. So it is killed as soon as nothing is in flight: nothing computes, no model has requests,
and no client has bytes of an answer still to come.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from operations.ports import Ports
from operations.server_process import ServerProcess
from operations.supervisor import processes
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.triton_api import NoAnswer, TritonApi

STEP_S = 0.1
BUSY_SHARE = 0.02
"""Share of a core that all model processes together may take and still be idle. An idle `llm`
took 10 ms in 12 s; one that computes takes all it gets."""
CPU_GRAIN_S = 0.02
"""Twice the grain in which Linux counts: a single count is no sign of work."""
_ESTABLISHED = "01"


@dataclass(frozen=True)
class Drained:
    """Whether all requests were answered, and how the server ended: None means killed by us."""

    complete: bool
    status: int | None


class Activity:
    """Whether a server has anything in flight."""

    def __init__(self, pid: int, ports: Ports, api: TritonApi) -> None:
        self._pid, self._ports, self._api = pid, ports, api
        self._instances = processes.find(pid).living
        self._used_s = processes.cpu_s(self._instances)
        self._since_s = time.monotonic()

    def idle_s(self) -> float:
        """For how long nothing has been in flight."""
        now_s, used_s = time.monotonic(), processes.cpu_s(self._instances)
        spent_s = sum(used - self._used_s.get(pid, 0.0) for pid, used in used_s.items())
        computes = spent_s > BUSY_SHARE * (now_s - self._since_s) + CPU_GRAIN_S
        if computes or self._has_requests() or unsent_bytes(self._pid, self._ports):
            self._since_s, self._used_s = now_s, used_s
        return now_s - self._since_s

    def _has_requests(self) -> bool:
        try:
            return self._api.in_flight() > 0
        except NoAnswer:  # it ends: its processes say the rest
            return False


def unsent_bytes(pid: int, ports: Ports, proc: Path = Path("/proc")) -> int:
    """Bytes that the kernel holds for clients which have not taken them yet (proc(5), net/tcp)."""
    total = 0
    for table in ("tcp", "tcp6"):
        try:
            rows = (proc / str(pid) / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            _, local, _, state, queues, *_ = row.split()
            if state == _ESTABLISHED and int(local[-4:], 16) in (ports.http, ports.grpc):
                total += int(queues.partition(":")[0], 16)
    return total


def drain(server: ServerProcess, api: TritonApi, settings: SupervisorSettings) -> Drained:
    """SIGTERM, wait until nothing is in flight, kill; blocks for little more than `drain_s`."""
    activity = Activity(server.pid, server.ports, api)
    server.terminate()

    def is_over() -> bool:
        return server.status() is not None or activity.idle_s() >= settings.idle_s

    complete = _wait(settings.drain_s, is_over)
    status = server.status()
    server.kill()
    return Drained(complete, status)


def _wait(bound_s: float, is_over: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + bound_s
    while not is_over():
        if time.monotonic() > deadline:
            return False
        time.sleep(STEP_S)
    return True
