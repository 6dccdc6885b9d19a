"""The result file. Each section says when, where and from which commit it was measured.

It lies in build/: figures of a run do not enter git, the page that shows them does.
"""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter

from builders.spec import ROOT
from tests.load.summary import Percentiles, Spread, Summary, spread

FOLDER = ROOT / "build" / "bench"
FILE = FOLDER / "results.json"
SAME_SOURCE = "first sources of `rag` equal to those of "
"""How the facts about the peers' retrieval begin; a peer's name follows."""

STREAMED = ("rag-stream", "rag-stream-checked")
"""Workloads of the section "first-token": the LLM's own words, and answers under its policy."""

OURS, CANCELLABLE, BARE = "ours", "ours (rag_cancellable)", "bare engine"


@dataclass(frozen=True)
class Point:
    """What was measured: a variant under a load."""

    variant: str
    workload: str
    load: str = "closed"
    """closed, open or burst."""
    clients: int = 0
    """In a closed loop."""
    share: float = 0.0
    """In an open loop: the share of the variant's own throughput in the closed loop."""
    rate_per_s: float = 0.0
    """In an open loop: arrivals."""
    documents: int = 0
    """Passages in a `rag` request."""

    def __str__(self) -> str:
        load = f"{self.clients} clients" if self.load == "closed" else f"{self.load} {self.share:g}"
        documents = f", {self.documents} documents" if self.documents else ""
        return f"{self.workload}{documents}, {load}, {self.variant}"


@dataclass(frozen=True)
class Repeat:
    """One run of a point."""

    summary: Summary
    client_cpu: float
    """Cores that the load generator took; for variants inside its process, the variant too."""


@dataclass(frozen=True)
class Measured:
    """A point with its repeats; `fault` says why there are none or fewer."""

    point: Point
    repeats: tuple[Repeat, ...]
    fault: str = ""

    @property
    def work_per_s(self) -> Spread:
        """Over the repeats."""
        return spread([repeat.summary.work_per_s for repeat in self.repeats])

    @property
    def unanswered(self) -> int:
        """Requests without an answer, of all repeats."""
        return sum(r.summary.requests - r.summary.answered for r in self.repeats)

    def latency(self, of: str = "latency_s") -> Percentiles | None:
        """Medians of the repeats' percentiles, seconds; `of` may be ttft_s or itl_s."""
        found = [getattr(repeat.summary, of) for repeat in self.repeats]
        kept: list[Percentiles] = [one for one in found if one is not None]
        if not kept:
            return None
        return Percentiles(
            *(statistics.median(getattr(one, name) for one in kept)
              for name in ("p50", "p90", "p99", "highest"))
        )  # fmt: skip


@dataclass(frozen=True)
class Fact:
    """A figure without load: an equality, a memory, a start-up time."""

    what: str
    value: float
    of: float = 0.0
    """How many were compared, where the value counts something."""


@dataclass(frozen=True)
class SectionResult:
    """One run of one section."""

    name: str
    taken_at: str
    took_s: float
    machine: str
    commit: str
    settings: str
    versions: tuple[str, ...]
    models: str
    """What played each role."""
    measured: tuple[Measured, ...] = ()
    facts: tuple[Fact, ...] = ()
    faults: tuple[str, ...] = ()
    """Variants that did not start, and why."""
    is_complete: bool = False


@dataclass(frozen=True)
class Results:
    """All sections, each by its latest run."""

    sections: tuple[SectionResult, ...] = ()

    def section(self, name: str) -> SectionResult | None:
        """The latest run of it."""
        return next((section for section in self.sections if section.name == name), None)

    def with_section(self, section: SectionResult) -> "Results":
        """The section instead of an older run of it."""
        others = [each for each in self.sections if each.name != section.name]
        return replace(self, sections=(*others, section))

    def measured(self, name: str) -> tuple[Measured, ...]:
        """Points of a section that have figures."""
        section = self.section(name)
        return tuple(one for one in section.measured if one.repeats) if section else ()


def pick(measured: Sequence[Measured], **wanted: object) -> list[Measured]:
    """Those whose point has these values."""
    return [m for m in measured if all(getattr(m.point, k) == v for k, v in wanted.items())]


def read(file: Path = FILE) -> Results:
    """Nothing yet where there is no file."""
    if not file.is_file():
        return Results()
    return TypeAdapter(Results).validate_json(file.read_bytes())


def write(results: Results, file: Path = FILE) -> None:
    """At once or not at all: an interrupted run keeps the file readable."""
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(_rounded(asdict(results)), indent=1) + "\n")
    new.replace(file)


def _rounded(value: object) -> object:
    """Five digits: more would be noise."""
    match value:
        case float():
            return float(f"{value:.5g}")
        case dict():
            return {key: _rounded(each) for key, each in value.items()}
        case list() | tuple():
            return [_rounded(each) for each in value]
        case _:
            return value
