"""What happened, as a record and as a line of log."""

import time
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why something was done."""

    DEAD = "dead"
    STOPPED = "stopped"
    STUCK = "stuck"
    FAILING = "failing"
    CALLER = "caller"
    """The model waited for another one that had to be brought back."""
    STOPPING = "stopping"
    REFUSED = "refused"
    """The system does not let us do something; what follows is less than promised."""


SERVER = "tritonserver"
"""Stands in the place of a model where the whole server is meant."""


@dataclass(frozen=True)
class Event:
    """One thing that was done: when (Unix time), to which model, why, what, and how long it took
    from the moment it was noticed; `ok` is false where it did not help."""

    time_s: float
    model: str
    cause: Cause
    action: str
    seconds: float
    ok: bool = True

    def line(self) -> str:
        """As logged: `2026-11-21T06:00:00Z llm dead: reloaded after 0.84 s`."""
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.time_s))
        return f"{when} {self.model} {self.cause}: {self.action} after {self.seconds:.2f} s"
