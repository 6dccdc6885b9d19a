"""What a search says: the table of its steps, what to set, the plot."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from rich.table import Table

from tests.headroom.search import Found, Step
from tests.headroom.slo import ENTRIES, Slo, time

SCALING_SHARE = 0.65
"""Of the largest rate: room for a peak while another server starts."""


def table(slo: Slo, steps: Sequence[Step]) -> Table:
    """A row for each step, in the order in which they were measured."""
    columns = ("load", "requests", "answered", "answers/s", slo.percentile, "SLO")
    made = Table(*columns, title=str(slo))
    for step in steps:
        load = f"{step.load:.0f} clients" if step.kind == "clients" else f"{step.load:.3g}/s"
        made.add_row(
            load, str(step.requests), str(step.answered), f"{step.answered_per_s:.1f}",
            time(step.measured_s), "kept" if step.is_kept else "missed",
        )  # fmt: skip
    return made


def advice(slo: Slo, clients: Found, rate: Found, running_now: object = None) -> str:
    """What was found, and what follows for a placement and for scaling."""
    return "\n".join(_advice(slo, clients, rate, running_now))


def _advice(slo: Slo, clients: Found, rate: Found, running_now: object) -> Iterator[str]:
    yield _said("clients", clients, slo)
    yield _said("requests/s", rate, slo)
    model = ENTRIES[slo.entry]
    if clients.kept and running_now is not None:
        yield (
            f"set in builders/placements/: [models.{model}.parameters] max_running_requests = "
            f"{clients.kept.load:.0f} (cpu.toml has {running_now})"
        )
    elif clients.kept:
        yield f"'{model}' has no max_running_requests: limit its clients in front of the server"
    if rate.kept:
        yield (
            f"scale out at {SCALING_SHARE * rate.kept.load:.3g} requests/s a server "
            f"({SCALING_SHARE:.0%} of the largest rate)"
        )


def _said(unit: str, result: Found, slo: Slo) -> str:
    if result.kept is None:
        tried = f"; the lowest tried is {result.failed:.3g}" if result.failed else ""
        return f"no number of {unit} keeps {slo}{tried}"
    failed = f"{result.failed:.3g} misses it" if result.failed else "none that misses it was tried"
    return (
        f"{slo} is kept at {result.kept.load:.3g} {unit} ({slo.percentile} "
        f"{time(result.kept.measured_s)} of {result.kept.requests} requests); {failed}"
    )


def plot(slo: Slo, steps: Sequence[Step], target: Path) -> None:
    """An SVG: the percentile over the clients, and over the arrival rate."""
    mpl.rcParams["svg.hashsalt"] = "headroom"
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, kind, label in zip(
        panels,
        ("clients", "rate"),
        ("clients (closed loop)", "arrivals/s (open loop)"),
        strict=True,
    ):
        for is_kept, colour in ((True, "#2ca02c"), (False, "#d62728")):
            points = [(s.load, s.measured_s) for s in steps
                      if s.kind == kind and s.is_kept is is_kept]  # fmt: skip
            axes.plot(*zip(*points, strict=True) if points else ([], []), "o", color=colour,
                      label="kept" if is_kept else "missed")  # fmt: skip
        axes.axhline(slo.limit_s, linestyle="--", color="black", label=str(slo))
        axes.set(xlabel=label, yscale="log")
    panels[0].set_ylabel(f"{slo.percentile}, s")
    panels[1].legend(fontsize=8)
    figure.savefig(target, metadata={"Date": None})
