"""Ends a model's process whose requests Triton has given up, because it stood still.

Triton 2.51 asks once a second whether a process at work is alive, which a thread of the process
says three times a second. One that got no processor meanwhile (a starved machine, a virtual machine
or a laptop that slept, a clock that was set) is given up: its requests get an error. When it goes
on, it answers them, and Triton takes that for the answer to the next ones: they get other
requests' answers, or the server dies. So it must not answer (docs/decisions/0109).
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable

LONGEST_S = 1.0
"""Triton gives up a process that stood still for so long."""
LOOK_S = 0.1
LATE_S = 0.5
"""A request may wait so long before Python sees it."""
BUSY_SHARE = 0.2
"""A process that computed for more of the time did not stand still: it held Python's lock."""

logger = logging.getLogger(__name__)


def _end() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # as if it had died at its requests


class Pauses:
    """Looks at the clock all the time; `clock` is Triton's own, which may be set."""

    def __init__(
        self,
        clock: Callable[[], float] = time.time,
        computed_s: Callable[[], float] = time.process_time,
        end: Callable[[], None] = _end,
    ) -> None:
        self._clock, self._computed_s, self._end = clock, computed_s, end
        self._lock = threading.Lock()
        self.forget()

    def watch(self) -> None:
        """Look in a thread from now on."""
        threading.Thread(target=self._run, name="pauses", daemon=True).start()

    def forget(self) -> None:
        """What was before does not count: a model is loaded without requests."""
        with self._lock:
            self._seen = self._clock(), self._computed_s()
            self._until_s = self._took_s = 0.0

    def now_s(self) -> float:
        """The time to give to `end_if_paused_since`."""
        return self._clock()

    def look(self) -> None:
        with self._lock:
            now = self._clock(), self._computed_s()
            took_s, computed_s = (b - a for a, b in zip(self._seen, now, strict=True))
            self._seen = now
            if took_s >= LONGEST_S and computed_s < BUSY_SHARE * took_s:
                self._until_s, self._took_s = now[0], took_s

    def end_if_paused_since(self, begun_s: float) -> None:
        """End the process if it stood still during a request, or just before Python saw it."""
        self.look()
        if self._until_s >= begun_s - LATE_S:
            logger.error("stood still for %.1f s: Triton gave up its requests", self._took_s)
            self._end()

    def _run(self) -> None:
        while True:
            time.sleep(LOOK_S)
            self.look()
