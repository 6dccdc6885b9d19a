"""How a tritonserver as a whole is: its process, its liveness, and whether it hangs in a crash."""

import time

from operations.supervisor import processes
from operations.supervisor.events import SERVER, Cause
from operations.supervisor.health import ModelHealth
from operations.supervisor.journal import Journal
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import TritonApi


class ServerHealth:
    """Of one server process."""

    def __init__(self, pid: int, api: TritonApi, settings: Settings, journal: Journal) -> None:
        self._pid, self._api, self._settings, self._journal = pid, api, settings, journal
        self._process = ModelHealth(settings)
        self._heard_s = time.monotonic()
        self._crashing: frozenset[int] = frozenset()

    @property
    def due_s(self) -> float:
        """When it is to be asked again, on the monotonic clock."""
        return self._process.due_s

    def seen(self, now_s: float) -> Cause | None:
        """Its process is looked at; a cause where it is dead or stopped."""
        return self._process.seen(now_s, self._pid, processes.state(self._pid))

    def ask(self) -> Cause | None:
        """Whether it is live; blocks for the answer. A cause where it must be started again."""
        if self._hangs_in_a_crash():
            self._journal.add(SERVER, Cause.STUCK, "crashed, hangs in its signal handler", ok=False)
            return Cause.STUCK
        if self._api.is_live() and not self._crashing:
            self._heard_s = time.monotonic()
            self._process.answered(self._heard_s)
        elif time.monotonic() - self._heard_s > self._settings.canary_timeout_s:
            return Cause.STUCK
        else:
            self._process.due_s = time.monotonic() + self._settings.canary_retry_s
        return None

    def _hangs_in_a_crash(self) -> bool:
        """A thread was in the handler of a crash the last time, too, which takes far less."""
        before, self._crashing = self._crashing, processes.crashing(self._pid)
        return bool(before & self._crashing)
