"""What was seen of one request. Times are seconds of the event loop's clock."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

T = TypeVar("T")

Send = Callable[[T], AsyncIterator[float]]
"""Sends a request and yields the work of each response as it comes; the last one ends it.

Raises `Refused` where the server says that it has too much to do, anything else for a fault.
"""


class Refused(Exception):
    """The server is overloaded and says so: 503 or UNAVAILABLE."""


class Outcome(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Response:
    """One response: when it was there, and the work in it."""

    at_s: float
    work: float


@dataclass(frozen=True, slots=True)
class Record:
    """One request from when it was due to its last response, or to its fault."""

    scheduled_s: float
    sent_s: float
    end_s: float
    responses: tuple[Response, ...]
    outcome: Outcome
    fault: str = ""
    """Class of the exception, for `Outcome.ERROR`; never its text, which may hold a prompt."""

    @property
    def latency_s(self) -> float:
        """From when it was due: a late sender must not hide a slow server."""
        return self.end_s - self.scheduled_s

    @property
    def lag_s(self) -> float:
        """How late it was sent: the load generator's own fault."""
        return self.sent_s - self.scheduled_s

    @property
    def first_response_s(self) -> float | None:
        """To the first response, from when the request was due."""
        return self.responses[0].at_s - self.scheduled_s if self.responses else None

    @property
    def work(self) -> float:
        """The work of all responses."""
        return sum(response.work for response in self.responses)

    def gaps_s(self) -> list[float]:
        """Between responses, each divided by the work of the later one: inter-token latency."""
        pairs = zip(self.responses, self.responses[1:], strict=False)
        return [(later.at_s - before.at_s) / later.work for before, later in pairs if later.work]
