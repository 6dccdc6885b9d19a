"""What is looked at every few seconds of a soak."""

import time
from collections import Counter
from dataclasses import dataclass

from operations.ports import Ports
from tests.chaos.resources import GATEWAY, SERVER, Use, use
from tests.soak.collection import Collection


@dataclass(frozen=True)
class Sample:
    """One look; counts are since the start."""

    time_s: float
    use: Use
    requests: int
    errors: int
    cancelled: int
    unexpected: int
    disk_mib: float
    versions: int
    """Of the collection that is written: its files, and versions of its table."""


class Record:
    """Samples of one soak, in order."""

    def __init__(
        self, server_pid: int, ports: Ports, gateway_pid: int, collection: Collection
    ) -> None:
        self.samples: list[Sample] = []
        self._pid, self._ports, self._begun = server_pid, ports, time.monotonic()
        self._gateway_pid, self.collection = gateway_pid, collection
        self.rest_mib, self.rest_versions = 0.0, 0
        """Of the collection some time after its last change."""

    def look(self, counts: Counter[str]) -> Sample:
        """Take a sample now."""
        found = Sample(
            self.time_s,
            use(self._pid, self._ports, self._gateway_pid),
            sum(counts[end] for end in ("answer", "error", "cancelled", "hung", "faulty")),
            counts["error"],
            counts["cancelled"],
            counts["unexpected"],
            self.collection.disk_mib(),
            self.collection.versions(),
        )
        self.samples.append(found)
        return found

    def look_at_rest(self) -> None:
        self.rest_mib, self.rest_versions = self.collection.disk_mib(), self.collection.versions()

    @property
    def time_s(self) -> float:
        """Since the start."""
        return time.monotonic() - self._begun

    def names(self) -> list[str]:
        """The server and the gateway first, then the models."""
        found = {p.name for sample in self.samples for p in sample.use.processes}
        return sorted(found, key=lambda name: (name != SERVER, name != GATEWAY, name))
