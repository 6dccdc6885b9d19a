"""The record of what was done, kept and printed."""

import threading
import time
from collections.abc import Callable

from operations.supervisor.events import Cause, Event

MAX_EVENTS = 10_000


def print_line(line: str) -> None:
    """To standard output at once, also where that is a file."""
    print(line, flush=True)


class Journal:
    """The newest events; one line each goes to `report`."""

    def __init__(self, report: Callable[[str], None] = print_line) -> None:
        self._report = report
        self._events: list[Event] = []
        self._lock = threading.Lock()
        self._said: set[str] = set()

    @property
    def events(self) -> list[Event]:
        """A copy, oldest first."""
        with self._lock:
            return list(self._events)

    def add(
        self, model: str, cause: Cause, action: str, seconds: float = 0.0, ok: bool = True
    ) -> None:
        """Write it down."""
        event = Event(time.time(), model, cause, action, seconds, ok)
        with self._lock:
            self._events.append(event)
            del self._events[:-MAX_EVENTS]
        self._report(event.line())

    def add_once(self, model: str, cause: Cause, action: str) -> None:
        """Write it down unless the same was said before."""
        with self._lock:
            is_new = action not in self._said
            self._said.add(action)
        if is_new:
            self.add(model, cause, action, ok=False)
