"""Deadlines of requests: how long a client waits for the whole answer."""

import time

from python_backends.errors import Cancelled


class Deadline:
    """`timeout_us` from now; 0 is no deadline."""

    def __init__(self, timeout_us: int) -> None:
        self._timeout_us = timeout_us
        self._end_s = time.monotonic() + timeout_us / 1e6

    @property
    def is_over(self) -> bool:
        return self._timeout_us > 0 and time.monotonic() > self._end_s

    @property
    def error(self) -> Cancelled:
        return Cancelled(f"timeout: {self._timeout_us} us asked for; this time has passed")
