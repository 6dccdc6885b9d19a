"""What is asked of the server: limits on latency, as in `embed:p99<200ms rag:ttft_p95<1.5s`."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

from builders.errors import BuildError

Workload = Literal["embed", "rerank", "llm", "rag"]
Timing = Literal["latency", "ttft", "itl"]
"""Of a request: to its last response, to its first token, and between its tokens."""

WORKLOADS: tuple[Workload, ...] = get_args(Workload)
STREAMED: frozenset[Workload] = frozenset({"llm", "rag"})
"""Workloads whose answers come in tokens."""

DEFAULT = "embed:p99<1s rerank:p99<1s llm:ttft_p99<500ms rag:p99<5s"

FORM = "WORKLOAD:[ttft_|itl_]pNN<LIMIT(us|ms|s), as in 'embed:p99<200ms llm:ttft_p99<500ms'"

_LIMIT = re.compile(
    r"(?P<workload>[a-z_]+):(?:(?P<timing>[a-z]+)_)?p(?P<percent>\d+(?:\.\d+)?)"
    r"<(?P<value>\d+(?:\.\d+)?)(?P<unit>us|ms|s)"
)
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}


@dataclass(frozen=True)
class Limit:
    """`percent` of a workload's requests must take less than `limit_s`."""

    workload: Workload
    timing: Timing
    percent: float
    limit_s: float

    @property
    def name(self) -> str:
        """Short, as it is written: `p99`, `ttft_p99`."""
        prefix = "" if self.timing == "latency" else f"{self.timing}_"
        return f"{prefix}p{self.percent:g}"

    def __str__(self) -> str:
        return f"{self.workload} {self.name} < {seconds(self.limit_s)}"


def seconds(value: float) -> str:
    """`1.5 s`, `88 ms`, `340 µs`."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def parse(text: str) -> tuple[Limit, ...]:
    """The limits in order; raises `BuildError` that names the faulty one and what is possible."""
    limits = tuple(map(_limit, text.replace(",", " ").split()))
    if not limits:
        raise BuildError(f"SLO '{text}' asks for nothing; write {FORM}")
    _refuse_repeated(limits)
    return limits


def workloads(limits: Iterable[Limit]) -> Iterator[Workload]:
    """Those that have a limit, in the order in which they are tuned."""
    asked = {limit.workload for limit in limits}
    return (workload for workload in WORKLOADS if workload in asked)


def _limit(text: str) -> Limit:
    found = _LIMIT.fullmatch(text)
    if not found:
        raise BuildError(f"SLO '{text}' can't be read; write {FORM}")
    workload = _workload(text, found["workload"])
    percent, value = float(found["percent"]), float(found["value"])
    if not 0 < percent < 100:
        raise BuildError(f"SLO '{text}': p{found['percent']}; more than p0 and less than p100")
    if value == 0:
        raise BuildError(f"SLO '{text}': a limit of 0; every request takes more")
    timing = _timing(text, workload, found["timing"])
    return Limit(workload, timing, percent, value * _SECONDS[found["unit"]])


def _workload(text: str, name: str) -> Workload:
    for workload in WORKLOADS:
        if workload == name:
            return workload
    raise BuildError(f"SLO '{text}': no workload '{name}'; {', '.join(WORKLOADS)} can be tuned")


def _timing(text: str, workload: Workload, name: str | None) -> Timing:
    if name is None:
        return "latency"
    streamed: tuple[Timing, ...] = ("ttft", "itl") if workload in STREAMED else ()
    for timing in streamed:
        if timing == name:
            return timing
    possible = ", ".join(["p99", *(f"{timing}_p99" for timing in streamed)])
    raise BuildError(
        f"SLO '{text}': '{workload}' has no '{name}'; it can be {possible} and the like"
    )


def _refuse_repeated(limits: tuple[Limit, ...]) -> None:
    """Two limits on one figure: one of them is a slip."""
    seen: dict[tuple[str, str], Limit] = {}
    for limit in limits:
        earlier = seen.setdefault((limit.workload, limit.name), limit)
        if earlier is not limit:
            raise BuildError(f"SLO: both '{earlier}' and '{limit}' are asked for; leave one out")
