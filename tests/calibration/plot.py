"""How far the roofline is off, as a picture: estimated against published throughput."""

import math
import statistics
from collections.abc import Iterator, Sequence

from tests.calibration.fit import Measured

_PLOT, _MARGIN, _LOW, _HIGH = 460, 60, 100.0, 40_000.0
_COLOURS = {"calibration": "#1f77b4", "links": "#2ca02c", "validation": "#d62728"}
_LINES = {
    1.0: ("black", ""),
    1.25: ("grey", "4"),
    0.8: ("grey", "4"),
    2.0: ("grey", "1 3"),
    0.5: ("grey", "1 3"),
}
"""Ratios that are drawn: exact, off by a quarter, off by a factor of two."""


def plot(figures: Sequence[Measured]) -> str:
    """Estimated against published tokens a second, both logarithmic."""
    size = _PLOT + 2 * _MARGIN
    middle, style = size / 2, 'font-family="sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size} {size}" {style}>',
        f'<rect width="{size}" height="{size}" fill="white"/>',
        *_grid(),
        *(_line(ratio, colour, dashes) for ratio, (colour, dashes) in _LINES.items()),
        *map(_dot, figures),
        *_legend(figures),
        f'<text x="{middle}" y="{size - 14}" text-anchor="middle">published output tokens/s</text>',
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">'
        "estimated by the roofline</text>",
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _at(value: float) -> float:
    share = math.log(value / _LOW) / math.log(_HIGH / _LOW)
    return share * _PLOT


def _point(published_rate: float, estimated: float) -> tuple[float, float]:
    return _MARGIN + _at(published_rate), _MARGIN + _PLOT - _at(estimated)


def _dot(one: Measured) -> str:
    x, y = _point(one.tokens_per_s, one.tokens_per_s * one.ratio)
    request = one.request
    lengths = f"{request.workload.input_tokens}/{request.workload.output_tokens}"
    title = f"{request.spec.name} {request.sku.name} {one.split} {lengths}: {one.ratio:.2f}"
    return (
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{_COLOURS[one.use]}" '
        f'fill-opacity="0.6"><title>{title}</title></circle>'
    )


def _line(ratio: float, colour: str, dashes: str) -> str:
    low, high = _LOW * max(1, 1 / ratio), _HIGH * min(1, 1 / ratio)
    (x1, y1), (x2, y2) = _point(low, low * ratio), _point(high, high * ratio)
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-dasharray="{dashes}"/>'
    )


def _grid() -> Iterator[str]:
    for value in (100, 300, 1000, 3000, 10_000, 30_000):
        x, y = _point(value, value)
        yield f'<text x="{x:.0f}" y="{_MARGIN + _PLOT + 18}" text-anchor="middle">{value:,}</text>'
        yield f'<text x="{_MARGIN - 6}" y="{y + 4:.0f}" text-anchor="end">{value:,}</text>'


def _legend(figures: Sequence[Measured]) -> Iterator[str]:
    for number, (use, colour) in enumerate(_COLOURS.items()):
        ratios = [one.ratio for one in figures if one.use == use]
        error = statistics.median(abs(ratio - 1) for ratio in ratios)
        y = _MARGIN + 16 + 18 * number
        yield f'<circle cx="{_MARGIN + 14}" cy="{y - 4}" r="4" fill="{colour}"/>'
        yield (
            f'<text x="{_MARGIN + 24}" y="{y}">{use}: {len(ratios)} figures, median error '
            f"{error:.1%}, {min(ratios):.2f} to {max(ratios):.2f} of published</text>"
        )
