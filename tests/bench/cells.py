"""Cells of the tables on docs/benchmarks.md: figures as text, empty where there are none."""

from collections.abc import Sequence

from tests.bench.goals import peers_of, ratio
from tests.bench.results import BARE, CANCELLABLE, OURS, Measured, pick


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def number(value: float, of: float = 0.0) -> str:
    return f"{value:,.5g}" + (f" of {of:g}" if of else "")


def ranked(measured: Sequence[Measured]) -> list[Measured]:
    """Bare engine, ours, then the peers, fastest first."""
    own = [m for name in (BARE, OURS, CANCELLABLE) for m in pick(measured, variant=name)]
    return [*own, *sorted(peers_of(measured), key=lambda m: -m.work_per_s.median)]


def times(measured: Sequence[Measured], one: Measured, base: str) -> str:
    found = ratio(measured, one.point.variant, base)
    return "" if found is None else f"{found:.2f} ×"


def p50_p99(one: Measured, of: str = "latency_s") -> str:
    found = one.latency(of)
    return "" if found is None else f"{1000 * found.p50:,.4g} / {1000 * found.p99:,.4g}"


def p50(found: Sequence[Measured]) -> str:
    return p50_p99(found[0]).partition(" / ")[0] if found else ""


def median(found: Sequence[Measured]) -> str:
    return f"{found[0].work_per_s.median:,.4g}" if found else ""


def facts_between(facts: dict[str, float], start: str, end: str) -> dict[str, float]:
    """The facts whose names begin and end so, by what stands between."""
    return {
        what.removeprefix(start).removesuffix(end): value
        for what, value in facts.items()
        if what.startswith(start) and what.endswith(end)
    }
