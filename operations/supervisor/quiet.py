"""Whether a server's models compute anything at all."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path

from operations.supervisor import processes

SHARE = 0.02
"""Of a core: what all processes together may take and still be called quiet. An idle
`llm` took 10 ms in 12 s; one that computes takes all it gets."""

TICK_S = 0.02
"""Twice the grain in which Linux counts: a single count is no sign of work."""


class Quiet:
    """`seconds` is asked again and again; it begins at 0 when something computes."""

    def __init__(
        self,
        cpu_s: Callable[[], Mapping[int, float]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cpu_s, self._clock = cpu_s, clock
        self._since_s, self._before = clock(), cpu_s()

    def seconds(self) -> float:
        """For how long nothing has been computed."""
        now_s, now = self._clock(), self._cpu_s()
        used_s = sum(used - self._before.get(pid, 0.0) for pid, used in now.items())
        if used_s > SHARE * (now_s - self._since_s) + TICK_S:
            self._since_s, self._before = now_s, now
        return now_s - self._since_s


def models_of(server_pid: int, proc: Path = processes.PROC) -> Quiet:
    """Of the model processes of a tritonserver."""
    finder = processes.Finder(server_pid, proc)
    return Quiet(lambda: {one.pid: processes.cpu_s(one.pid, proc) for one in finder.find().living})
