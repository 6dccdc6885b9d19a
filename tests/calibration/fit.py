"""How well the roofline estimates published throughput, and the fit of its calibrated parameters.

Fitted are the tables marked "calibration" (one
8B model on two SKUs) and, for what passes between GPUs, "links" (one 70B model on one SKU); the
others show the error on models, SKUs and splits never fitted.
"""

import math
import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from builders.errors import BuildError
from builders.gpu_spec import GpuPrecision
from builders.planner import llm_cost
from builders.planner.llm_plan import LlmOptions, Request
from builders.planner.plan import plan_llm
from builders.planner.throughput import Workload
from builders.spec import load_model, load_sku

Range = tuple[float, float]

_KV_FRACTION = 0.95
"""What the published benchmarks use (TensorRT-LLM docs, perf-overview)."""

PUBLISHED = Path(__file__).parent / "published_throughput.toml"

FITTED = {
    "calibration": {
        "COMPUTE_EFFICIENCY": (0.40, 0.85),
        "BANDWIDTH_EFFICIENCY": (0.60, 0.92),
        "SEQUENCE_US": (0.0, 10.0),
    },
    "links": {"LINK_EFFICIENCY": (0.3, 0.9), "ALL_REDUCE_US": (5.0, 25.0)},
}
"""By the figures that they are fitted to, in this order: parameters of llm_cost with the range in
which a value makes sense. HBM is known to reach about nine tenths of its peak, and an all-reduce of
a few KiB takes some 10 to 25 µs: a fit beyond either would only hide another fault."""


@dataclass(frozen=True)
class Measured:
    """One published figure."""

    use: str
    request: Request
    tokens_per_s: float

    @property
    def split(self) -> str:
        """Precision and GPUs, such as "fp8 TP2 PP1"."""
        options = self.request.options
        return f"{options.precision} TP{options.tp} PP{options.pp}"

    @property
    def ratio(self) -> float:
        """Estimated over published; 0.0 where the planner says that it does not fit."""
        try:
            return plan_llm(self.request).most.output_tokens_per_s / self.tokens_per_s
        except BuildError:
            return 0.0


def published() -> list[Measured]:
    """Every figure of the file."""
    tables = tomllib.loads(PUBLISHED.read_text())["table"]
    return [measured for table in tables for measured in _figures(**table)]


def _figures(
    use: str,
    model: str,
    sku: str,
    precision: GpuPrecision,
    rows: list[list[int]],
    tp: int = 1,
    pp: int = 1,
) -> Iterator[Measured]:
    spec, machine = load_model(model), load_sku(sku)
    for isl, osl, tokens_per_s in rows:
        options = LlmOptions(
            Workload(isl, osl), precision=precision, tp=tp, pp=pp, kv_fraction=_KV_FRACTION
        )
        yield Measured(use, Request(machine, spec, options), tokens_per_s)


def error(measured: Sequence[Measured]) -> float:
    """Mean square of the logarithm of the ratio; infinite where something does not fit."""
    ratios = [one.ratio for one in measured]
    return math.inf if 0.0 in ratios else statistics.fmean(math.log(r) ** 2 for r in ratios)


def fit(figures: Sequence[Measured]) -> dict[str, float]:
    """The parameters that make `error` least on the figures meant for them."""
    before = {name: getattr(llm_cost, name) for ranges in FITTED.values() for name in ranges}
    try:
        return {
            name: value
            for use, ranges in FITTED.items()
            for name, value in _fit_some(ranges, [m for m in figures if m.use == use]).items()
        }
    finally:
        for name, value in before.items():
            setattr(llm_cost, name, value)


def _fit_some(ranges: Mapping[str, Range], measured: Sequence[Measured]) -> dict[str, float]:
    """One parameter after the other, in ever smaller steps; they are set in llm_cost."""
    found = {name: getattr(llm_cost, name) for name in ranges}
    for step in (0.1, 0.03, 0.01, 0.003) * 3:
        for name in ranges:
            tried = _around(ranges[name], found[name], step)
            errors = [_error_at(name, value, measured) for value in tried]
            found[name] = tried[errors.index(min(errors))]
            setattr(llm_cost, name, found[name])
    return found


def _around(bounds: Range, value: float, step: float) -> list[float]:
    low, high = bounds
    width = step * (high - low)
    return [min(high, max(low, value + n * width)) for n in range(-3, 4)]


def _error_at(name: str, value: float, measured: Sequence[Measured]) -> float:
    setattr(llm_cost, name, value)
    return error(measured)
