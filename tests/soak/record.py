"""What is looked at every few seconds of a soak."""

import time
from collections import Counter
from dataclasses import dataclass

from operations.ports import Ports
from tests.chaos.resources import SERVER, Use, use


@dataclass(frozen=True)
class Sample:
    """One look; counts are since the start."""

    time_s: float
    use: Use
    requests: int
    errors: int
    cancelled: int
    unexpected: int


class Record:
    """Samples of one soak, in order."""

    def __init__(self, server_pid: int, ports: Ports) -> None:
        self.samples: list[Sample] = []
        self._pid, self._ports, self._begun = server_pid, ports, time.monotonic()

    def look(self, counts: Counter[str]) -> Sample:
        """Take a sample now."""
        found = Sample(
            self.time_s,
            use(self._pid, self._ports),
            sum(counts[end] for end in ("answer", "error", "cancelled", "hung", "faulty")),
            counts["error"],
            counts["cancelled"],
            counts["unexpected"],
        )
        self.samples.append(found)
        return found

    @property
    def time_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun

    def names(self) -> list[str]:
        """The server first, then the models."""
        found = {p.name for sample in self.samples for p in sample.use.processes}
        return sorted(found, key=lambda name: (name != SERVER, name))
