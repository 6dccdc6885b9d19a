"""What happened: kept, and printed as one line each."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

MAX_EVENTS = 10_000
SERVER = "tritonserver"
"""Stands in the place of a model where the whole server is meant."""


class Cause(StrEnum):
    """Why something was done."""

    DEAD = "dead"
    STOPPED = "stopped"
    STUCK = "stuck"
    FAILING = "failing"
    STOPPING = "stopping"


RECOVERY_CAUSES = (Cause.DEAD, Cause.STOPPED, Cause.STUCK, Cause.FAILING)


@dataclass(frozen=True)
class Event:
    """What was done at `time_s` (Unix time), to which model and why.

    `seconds` count from the moment it was noticed; `ok` is false where it did not help.
    """

    time_s: float
    model: str
    cause: Cause
    action: str
    seconds: float
    ok: bool = True

    def line(self) -> str:
        """As logged: `2026-11-21T06:00:00Z tokenizer dead: reloaded after 0.84 s`."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time_s))
        taken = f" after {self.seconds:.2f} s" if self.seconds else ""
        return f"{when} {self.model} {self.cause}: {self.action}{taken}"


def print_line(line: str) -> None:
    """To standard output at once, also where that is a file."""
    print(line, flush=True)


class EventLog:
    """The newest events; the line of each goes to `write`."""

    def __init__(self, write: Callable[[str], None] = print_line) -> None:
        self._write = write
        self._events: list[Event] = []
        self._lock = threading.Lock()

    @property
    def events(self) -> list[Event]:
        """A copy, oldest first."""
        with self._lock:
            return list(self._events)

    def add(
        self, model: str, cause: Cause, action: str, seconds: float = 0.0, ok: bool = True
    ) -> None:
        event = Event(time.time(), model, cause, action, seconds, ok)
        with self._lock:
            self._events.append(event)
            del self._events[:-MAX_EVENTS]
        self._write(event.line())
