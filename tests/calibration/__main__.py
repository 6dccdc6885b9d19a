"""`python -m tests.calibration`: fit the planner's constants, show and plot how far it is off."""

import statistics
from collections.abc import Iterator, Sequence

from builders.planner import llm_cost
from builders.spec import ROOT
from tests.calibration.fit import FITTED, Measured, fit, published
from tests.calibration.plot import plot


def main() -> None:
    """Print the fit and the ratios; write docs/planner-error.svg."""
    figures = published()
    fitted = fit(figures)
    for name, value in fitted.items():
        print(f"{name:24}{getattr(llm_cost, name):8.3f}   fitted now {value:8.3f}")
    for use in (*FITTED, "validation"):
        ratios = [one.ratio for one in figures if one.use == use]
        off = statistics.median(abs(r - 1) for r in ratios)
        spread = f"ratios {min(ratios):.2f} to {max(ratios):.2f}"
        print(f"{use}: {len(ratios)} figures, median error {off:.1%}, {spread}")
    for line in by_table(figures):
        print(line)
    (ROOT / "docs" / "planner-error.svg").write_text(plot(figures))


def by_table(figures: Sequence[Measured]) -> Iterator[str]:
    """A line of ratios for each published table."""
    groups: dict[str, list[Measured]] = {}
    for one in figures:
        name = f"{one.request.spec.name} {one.split} {one.request.sku.name}"
        groups.setdefault(f"{one.use:12}{name}", []).append(one)
    for name, group in groups.items():
        yield f"{name:70}" + " ".join(f"{one.ratio:.2f}" for one in group)


if __name__ == "__main__":
    main()
