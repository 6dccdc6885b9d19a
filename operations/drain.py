"""Ends a tritonserver so that every request in flight is answered, within a limit of time.

After SIGTERM tritonserver (2.51) takes no new connections and finishes its requests, but waits for
idle connections, and for streams without a request, until its exit timeout. Its metrics page still
answers. So it is killed as soon as nothing is in flight: nothing computes, no model has requests,
and no client still has to receive bytes of an answer.
"""

import time
from pathlib import Path

from operations import model_processes
from operations.ports import Ports
from operations.triton_api import NoAnswer, TritonApi
from operations.triton_process import TritonProcess

STEP_S = 0.1
BUSY_SHARE = 0.02
"""Share of a core below which all model processes together count as idle. An idle `llm` took 10 ms
in 12 s; one that computes takes all it gets."""
CPU_GRAIN_S = 0.02
"""Twice the unit in which Linux counts CPU time: one unit is no sign of work."""
_ESTABLISHED = "01"


class Activity:
    """Whether a server has anything in flight."""

    def __init__(self, pid: int, api: TritonApi) -> None:
        self._api = api
        self._instances = model_processes.find(pid).living
        self._used_s = self._cpu_s()
        self._since_s = time.monotonic()

    def idle_s(self) -> float:
        """How long nothing has been in flight."""
        now_s, used_s = time.monotonic(), self._cpu_s()
        spent_s = sum(max(0.0, used_s[pid] - before_s) for pid, before_s in self._used_s.items())
        computes = spent_s > BUSY_SHARE * (now_s - self._since_s) + CPU_GRAIN_S
        if computes or self._has_requests() or any(unsent_bytes(self._api.ports)):
            self._since_s, self._used_s = now_s, used_s
        return now_s - self._since_s

    def _cpu_s(self) -> dict[int, float]:
        return {one.pid: model_processes.cpu_s(one.pid) for one in self._instances}

    def _has_requests(self) -> bool:
        try:
            return self._api.in_flight() > 0
        except NoAnswer:  # it is ending: then only CPU time counts
            return False


def unsent_bytes(ports: Ports, folder: Path = Path("/proc/net")) -> list[int]:
    """The bytes that each client's connection has not taken yet (proc(5), net/tcp)."""
    unsent = []
    for table in (folder / "tcp", folder / "tcp6"):
        for row in table.read_text(encoding="utf-8").splitlines()[1:] if table.exists() else ():
            _, local, _, state, queues, *_ = row.split()
            if state == _ESTABLISHED and int(local[-4:], 16) in (ports.http, ports.grpc):
                unsent.append(int(queues.partition(":")[0], 16))
    return unsent


def drain(server: TritonProcess, drain_s: float, idle_s: float) -> tuple[bool, int | None]:
    """Send SIGTERM, wait at most `drain_s` until nothing was in flight for `idle_s`, then kill.

    Returns whether all requests were answered, and the exit status; None if it had to be killed.
    """
    activity = Activity(server.pid, server.api)
    server.terminate()
    deadline_s = time.monotonic() + drain_s
    while (status := server.status()) is None and activity.idle_s() < idle_s:
        if time.monotonic() > deadline_s:
            server.kill()
            return False, None
        time.sleep(STEP_S)
    server.kill()
    return True, status
