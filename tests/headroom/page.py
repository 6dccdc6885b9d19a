"""What a search says: the table of its steps, what to set, the plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table

from tests.headroom.search import Kind, Step, largest_kept, lowest_failed
from tests.headroom.slo import ENTRIES, Slo, duration

SCALING_SHARE = 0.65
"""Share of the largest rate; the rest is for a peak while another server starts."""


def table(slo: Slo, steps: Sequence[Step]) -> Table:
    """A row for each step, in the order in which they were measured."""
    made = Table("load", "requests", "answered", "answers/s", slo.percentile, str(slo))
    for step in steps:
        load = f"{step.load:.3g} {step.kind}"
        counts = str(step.requests), str(step.answered), f"{step.answered_per_s:.1f}"
        made.add_row(load, *counts, duration(step.measured_s), verdict(step))
    return made


def verdict(step: Step) -> str:
    return "kept" if step.is_kept else "missed"


def advice(slo: Slo, steps: Sequence[Step], running_now: object = None) -> Iterator[str]:
    """What was found and what to set; `running_now` is the cpu placement's max_running_requests."""
    yield _found(slo, steps, "clients")
    yield _found(slo, steps, "requests/s")
    model, clients = ENTRIES[slo.entry], largest_kept(steps, "clients")
    if clients and running_now is not None:
        yield (
            f"set in builders/placements/: [models.{model}.parameters] max_running_requests = "
            f"{clients.load:.0f} (cpu.toml has {running_now})"
        )
    elif clients:
        yield f"'{model}' has no max_running_requests: limit its clients in front of the server"
    if rate := largest_kept(steps, "requests/s"):
        scaling = f"{SCALING_SHARE * rate.load:.3g} requests/s a server"
        yield f"add a server at {scaling} ({SCALING_SHARE:.0%} of the largest rate)"


def _found(slo: Slo, steps: Sequence[Step], kind: Kind) -> str:
    kept, failed = largest_kept(steps, kind), lowest_failed(steps, kind)
    tried = f"{failed:.3g} {kind} miss it" if failed else "no larger load was tried"
    if not kept:
        return f"{slo} is kept at no load that was tried; {tried}"
    measured = f"{slo.percentile} {duration(kept.measured_s)} of {kept.requests} requests"
    return f"{slo} is kept at {kept.load:.3g} {kind} ({measured}); {tried}"


def plot(slo: Slo, steps: Sequence[Step], target: Path) -> None:
    """An SVG: the percentile over the clients, and over the arrival rate."""
    mpl.rcParams["svg.hashsalt"] = "headroom"
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    kinds: tuple[Kind, ...] = ("clients", "requests/s")
    for axes, kind in zip(figure.subplots(1, 2, sharey=True), kinds, strict=True):
        for label, colour in (("kept", "#2ca02c"), ("missed", "#d62728")):
            found = [step for step in steps if step.kind == kind and verdict(step) == label]
            loads, values_s = [s.load for s in found], [s.measured_s for s in found]
            axes.plot(loads, values_s, "o", color=colour, label=label)
        axes.axhline(slo.limit_s, linestyle="--", color="black", label=str(slo))
        axes.set(xlabel=kind, ylabel=f"{slo.percentile}, s", yscale="log")
        axes.legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})
