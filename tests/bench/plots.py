"""Curves as SVG, drawn from results.json: the same figures give the same bytes."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from tests.bench.results import BARE, CANCELLABLE, OURS, Measured, Results, pick

_COLOURS = {
    OURS: "#d62728", CANCELLABLE: "#ff9896", BARE: "black", "fastapi": "#1f77b4",
    "bentoml": "#2ca02c", "litserve": "#9467bd", "ray_serve": "#8c564b", "mosec": "#17becf",
    "sentence-transformers": "#7f7f7f", "llama_cpp": "#bcbd22",
}  # fmt: skip
_UNITS = {"embed": "texts/s", "rerank": "passages/s", "rag": "questions/s"}
Figures = Callable[[Measured], tuple[float, float] | None]


def draw(results: Results, folder: Path) -> list[Path]:
    """A file for each curve that has figures."""
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "triton-rag"
    mpl.rcParams["font.family"] = "sans-serif"
    folder.mkdir(parents=True, exist_ok=True)
    return [_save(figure, folder / f"{name}.svg") for name, figure in _figures(results)]


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    for workload, unit in _UNITS.items():
        measured = pick(results.measured(workload), workload=workload, load="closed")
        if measured:
            yield f"{workload}-latency", _throughput_latency(measured, workload, unit)
            yield f"{workload}-clients", _scaling(measured, workload, unit)
    if measured := pick(results.measured("llm"), workload="llm-stream"):
        yield "llm-stream", _tokens(measured)
    if measured := list(results.measured("documents")):
        yield "rag-documents", _documents(measured)
    if measured := list(results.measured("open")):
        yield "open-loop", _open(measured)


def _throughput_latency(measured: Sequence[Measured], workload: str, unit: str) -> Figure:
    """Down and to the right is better."""
    figure, (axes,) = _axes(1)
    _lines(axes, measured, lambda m: _pair(m.work_per_s.median, _ms(m, "p50")))
    _lines(axes, measured, lambda m: _pair(m.work_per_s.median, _ms(m, "p99")), dashes=":",
           is_named=False)  # fmt: skip
    axes.set(yscale="log", xlabel=f"throughput, {unit}", ylabel="latency, ms: p50 –, p99 ···")
    _title(axes, f"{workload}: each point a number of clients")
    return figure


def _scaling(measured: Sequence[Measured], workload: str, unit: str) -> Figure:
    figure, (axes,) = _axes(1)
    _lines(axes, measured, lambda m: _pair(m.point.clients, m.work_per_s.median))
    _clients(axes)
    axes.set(ylabel=unit, ylim=(0, None))
    _title(axes, f"{workload}: throughput over clients")
    return figure


def _tokens(measured: Sequence[Measured]) -> Figure:
    """First token and time between tokens, each with its tail."""
    figure, panels = _axes(2)
    for axes, of, what in zip(
        panels, ("ttft_s", "itl_s"), ("to the first token", "between tokens"), strict=True
    ):
        for quantile, dashes in (("p50", "-"), ("p90", "--"), ("p99", ":")):
            _lines(axes, measured, partial(_at_clients, quantile=quantile, of=of),
                   dashes, is_named=quantile == "p50")  # fmt: skip
        _clients(axes)
        axes.set(yscale="log", ylabel=f"ms {what}: p50 –, p90 --, p99 ···", xlabel="streams")
        _title(axes, f"llm: {what}")
    return figure


def _documents(measured: Sequence[Measured]) -> Figure:
    figure, (axes,) = _axes(1)
    _lines(axes, measured, lambda m: _pair(m.point.documents, _ms(m, "p50")))
    axes.set(xscale="log", yscale="log", xlabel="documents", ylabel="latency p50, ms")
    _title(axes, "rag: one request at a time")
    return figure


def _open(measured: Sequence[Measured]) -> Figure:
    """Ours over the load, the peers at the one they were measured at."""
    figure, panels = _axes(3)
    for axes, workload in zip(panels, _UNITS, strict=True):
        own = pick(measured, workload=workload, load="open")
        _lines(axes, own, lambda m: _pair(m.point.share, _ms(m, "p50")))
        _lines(axes, own, lambda m: _pair(m.point.share, _ms(m, "p99")), ":", is_named=False)
        axes.set(yscale="log", xlabel="share of the variant's own capacity",
                 ylabel="latency, ms: p50 –, p99 ···")  # fmt: skip
        _title(axes, f"{workload}: Poisson arrivals")
    return figure


def _lines(
    axes: Any, measured: Sequence[Measured], at: Figures, dashes: str = "-", is_named: bool = True
) -> None:
    for variant in dict.fromkeys(one.point.variant for one in measured):
        own = sorted(
            pick(measured, variant=variant), key=lambda m: (m.point.clients, m.point.share)
        )
        points = [point for one in own if (point := at(one))]
        if points:
            axes.plot(
                *zip(*points, strict=True), dashes, marker="o" if is_named else ".", markersize=4,
                color=_COLOURS.get(variant, "#e377c2"), label=variant if is_named else None,
                linewidth=2 if variant == OURS else 1,
            )  # fmt: skip


def _pair(x: float, y: float | None) -> tuple[float, float] | None:
    return None if y is None else (x, y)


def _at_clients(one: Measured, quantile: str, of: str) -> tuple[float, float] | None:
    return _pair(one.point.clients, _ms(one, quantile, of))


def _ms(one: Measured, quantile: str, of: str = "latency_s") -> float | None:
    found = one.latency(of)
    return None if found is None else 1000 * float(getattr(found, quantile))


def _axes(count: int) -> tuple[Figure, Sequence[Any]]:
    figure = Figure(figsize=(2.5 + 5 * count, 4.5), layout="constrained")
    return figure, figure.subplots(1, count, squeeze=False)[0]


def _clients(axes: Any) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks([1, 2, 4, 8, 16, 32, 64, 128, 200], ["1", "2", "4", "8", "16", "32", "64",
                                                        "128", "200"])  # fmt: skip
    axes.set_xlabel("clients")


def _title(axes: Any, title: str) -> None:
    axes.set_title(title)
    axes.grid(visible=True, which="both", alpha=0.2)
    for axis in (axes.xaxis, axes.yaxis):
        if axis.get_scale() == "log":
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _save(figure: Figure, file: Path) -> Path:
    named = {label: line for axes in figure.axes for line, label in
             zip(*axes.get_legend_handles_labels(), strict=True)}  # fmt: skip
    if named:
        figure.legend(named.values(), named.keys(), loc="outside right upper", fontsize=8)
    figure.savefig(file, format="svg", metadata={"Date": None, "Creator": None})
    lines = file.read_text(encoding="utf-8").splitlines()
    file.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")
    return file
