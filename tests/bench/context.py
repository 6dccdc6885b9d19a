"""What every section gets: the services, the recorder, and how much is measured."""

from dataclasses import dataclass

from tests.bench.measure import Recorder
from tests.bench.services import Services
from tests.load.loops import Window


@dataclass(frozen=True)
class BenchSettings:
    """How much is measured."""

    repeats: int
    clients: tuple[int, ...]
    peer_clients: tuple[int, ...]
    documents: tuple[int, ...]
    pace: float
    """Factor on how long a run lasts."""

    def __str__(self) -> str:
        return f"{self.repeats} repeats in turns, runs of {self.pace:g} × their length"


DEFAULT = BenchSettings(
    3, (1, 2, 4, 8, 16, 32, 64, 128, 200), (1, 8, 32, 128), (1, 10, 100, 300), 1.0
)
QUICK = BenchSettings(1, (1, 8, 64), (1, 8), (1, 10, 100), 0.5)


@dataclass(frozen=True)
class Context:
    """What a section has."""

    services: Services
    recorder: Recorder
    settings: BenchSettings

    def window(self, measure_s: float, rounds: int = 0) -> Window:
        """At this run's pace."""
        return Window(measure_s * self.settings.pace, rounds, 10 * measure_s)
