"""Throughput against the latency that the SLO limits, one panel a workload, as SVG."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from builders.tune.change import Changes
from builders.tune.decision import Judgement
from builders.tune.objective import Limit, seconds, workloads
from builders.tune.search import Phase, Trial

COLUMNS = 2
PANEL_INCHES = (4.6, 3.6)
_SEARCHED, _DEFAULT, _FINAL, _LIMIT = "#4c72b0", "black", "#c44e52", "#8c8c8c"

Numbered = tuple[int, Trial, Judgement]
"""A trial with its row in the table."""


def plot(trials: Sequence[Trial], limits: Sequence[Limit], final: Changes) -> str:
    """The SVG's text: a dot a trial with its number in the table, bars are the intervals."""
    asked = list(workloads(limits))
    columns = min(COLUMNS, len(asked))
    rows = -(-len(asked) // columns)
    size = (columns * PANEL_INCHES[0], rows * PANEL_INCHES[1])
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "tune", "font.size": 8}):
        figure = Figure(figsize=size, layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False).flatten()
        for axes, workload in zip(panels, asked, strict=False):
            own = next(limit for limit in limits if limit.workload == workload)
            here = [n for n in _numbered(trials) if n[1].race.workload == workload]
            _panel(axes, here, own, final)
        for axes in panels[len(asked) :]:
            axes.set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"


def _numbered(trials: Sequence[Trial]) -> list[Numbered]:
    return [(n, t, t.judgement) for n, t in enumerate(trials, 1) if t.judgement]


def _panel(axes: Axes, trials: Sequence[Numbered], limit: Limit, final: Changes) -> None:
    axes.set_title(str(limit))
    axes.axhline(limit.limit_s, color=_LIMIT, linestyle="--", label="SLO")
    relative: dict[Changes, float] = {(): 1.0}
    for number, trial, found in trials:
        race = trial.race
        if race.phase is Phase.CONFIRM:
            marker = "*" if race.candidate == final else "x"
            _dot(axes, number, found, 1.0, _FINAL, marker, "final, × default")
        else:
            # Where the changes of other workloads are the start, that is 1 here.
            base = relative.setdefault(race.reference, 1.0)
            relative[race.candidate] = base * found.ratio.mean
            _dot(axes, number, found, base, _SEARCHED, "o", "tried")
    starts = [trial.race.reference for _, trial, _ in trials if trial.race.phase is Phase.SEARCH]
    begins_at_default = not starts or starts[0] == ()
    what = "the default" if begins_at_default else "the best for the workloads before"
    axes.set_xlabel(f"throughput, × {what}")
    _mark_default(axes, trials)
    _finish(axes, limit)


def _dot(
    axes: Axes, number: int, found: Judgement, base: float, colour: str, marker: str, label: str
) -> None:
    ratio = found.ratio
    x, y = base * ratio.mean, found.candidate_s[0]
    low, high = base * (ratio.mean - ratio.low), base * (ratio.high - ratio.mean)
    axes.errorbar(
        [x], [y], xerr=[[low], [high]], color=colour, marker=marker, markersize=4, alpha=0.8,
        elinewidth=0.5, linestyle="none", label=label,
    )  # fmt: skip
    axes.annotate(str(number), (x, y), xytext=(3, 2), textcoords="offset points", fontsize=6)


def _mark_default(axes: Axes, trials: Sequence[Numbered]) -> None:
    """Once a race: its latency is not the same each time."""
    for _, trial, found in trials:
        if not trial.race.reference:
            axes.plot(
                [1.0], [found.reference_s[0]], "s", color=_DEFAULT, markersize=3, alpha=0.5,
                label="default, in each race",
            )  # fmt: skip


def _finish(axes: Axes, limit: Limit) -> None:
    axes.set_yscale("log")
    axes.set_ylabel(limit.name)
    as_time = FuncFormatter(lambda value, _: seconds(value))
    axes.yaxis.set_major_formatter(as_time)
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    ticks = [m * 10.0**e for e in range(-5, 3) for m in (1, 2, 5)]
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])
    handles, labels = axes.get_legend_handles_labels()
    by_label = dict(zip(labels, handles, strict=True))
    axes.legend(by_label.values(), by_label.keys(), loc="best", fontsize=6)
