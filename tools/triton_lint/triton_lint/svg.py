"""An ensemble as an SVG drawing that needs nothing else; findings are red."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from triton_lint.chart import NOWHERE, Arrow, Box, Chart, Tensor
from triton_lint.findings import Finding, Severity
from triton_lint.layers import Spot, place, rows_of
from triton_lint.report import printable

_LETTER, _LINE, _PADDING, _MARGIN = 7.25, 16.0, 8.0, 24.0
"""Pixels: width of a letter, height of a line, around the text of a box, around the drawing."""
_WRAP = 44
"""Letters in a line of a finding."""
_MOST_LINES = 4
"""Of a finding; the whole text is shown by the pointer."""

_STYLE = """text { font: 12px "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #222 }
.title { font-weight: bold; font-size: 15px } .head { font-weight: bold }
.red { fill: #c00000 } .faint { fill: #666 }
rect { fill: #eef3fb; stroke: #4a6fa5 } .end { fill: #f4f4f4; stroke: #888 }
.error { fill: #fde8e8; stroke: #c00000; stroke-width: 2 }
.warning { fill: #fff6f0; stroke: #c00000; stroke-dasharray: 5 3 }
.sheet { fill: #fff; stroke: none } path { fill: none; stroke: #8a96a8 }
marker path { fill: #8a96a8; stroke: none }"""


@dataclass(frozen=True)
class _Line:
    text: str
    style: str = ""


@dataclass
class _Node:
    """A box or label with its place."""

    spot: Spot
    lines: list[_Line]
    style: str = ""
    """Of its frame; labels have none."""
    hint: str = ""


@dataclass
class _Route:
    """An arrow by the nodes that it passes."""

    spots: list[Spot]
    is_turned: bool


def svg(chart: Chart) -> str:
    """The drawing."""
    bundles = _bundles(chart)
    nodes = {key: _node(key, chart) for bundle in bundles for key in bundle[:2]}
    nodes |= {box.key: _node(box.key, chart) for box in chart.boxes}
    for key, row in _rows(list(nodes), list(bundles), chart).items():
        nodes[key].spot.row = 2 * row
    labels, routes = [], []
    for (source, target), tensors in bundles.items():
        label, route = _route(nodes[source].spot, nodes[target].spot, tensors)
        labels.append(label)
        routes.append(route)
    drawn = [*nodes.values(), *labels]
    place(list({id(s): s for s in _spots(drawn, routes)}.values()))
    return "\n".join(_document(chart, drawn, routes)) + "\n"


def _spots(nodes: Sequence[_Node], routes: Sequence[_Route]) -> Iterator[Spot]:
    yield from (node.spot for node in nodes)
    for route in routes:
        yield from route.spots


def _bundles(chart: Chart) -> dict[tuple[str, str], list[Tensor]]:
    """The tensors between two boxes; an ensemble's inputs that go the same way are one box."""
    readers: dict[str, list[str]] = {}
    for arrow in chart.arrows:
        readers.setdefault(arrow.source, []).append(arrow.target)
    together = {key: "in " + " ".join(sorted(set(readers.get(key, [])))) for key in chart.inputs}
    found: dict[tuple[str, str], list[Tensor]] = {}
    for arrow in chart.arrows:
        ends = together.get(arrow.source, arrow.source), _target(arrow, chart)
        found.setdefault(ends, []).append(arrow.tensor)
    return found


def _target(arrow: Arrow, chart: Chart) -> str:
    """Outputs that come from one step are one box."""
    return f"out {arrow.source}" if arrow.target in chart.outputs else arrow.target


def _rows(keys: list[str], links: list[tuple[str, str]], chart: Chart) -> dict[str, int]:
    """As far up as can be, inputs next to who reads them first."""
    found = rows_of(keys, links)
    for key in keys:
        following = [found[target] for source, target in links if source == key]
        if key.startswith("in ") and following:
            found[key] = max(0, min(following) - 1)
    last = max(found.values(), default=0)
    return {key: last if key.startswith("out ") else row for key, row in found.items()}


def _node(key: str, chart: Chart) -> _Node:
    box = next((each for each in chart.boxes if each.key == key), None)
    if box is None:
        style = "error" if key == NOWHERE else "end"
        what = "nothing" if key == NOWHERE else key.partition(" ")[0] + "put"
        return _sized([_Line(what, "head")], style)
    found = _marks(box)
    hint = "\n".join(f"{each.rule}: {each.text}" for each in box.findings)
    lines = [_Line(box.lines[0], "head"), *map(_Line, box.lines[1:]), *found]
    return _sized(lines, _worst(box), hint)


def _worst(box: Box) -> str:
    severities = [each.severity for each in box.findings]
    if Severity.ERROR in severities:
        return "error"
    return "warning" if severities else "step"


def _marks(box: Box) -> Iterator[_Line]:
    for finding in box.findings:
        yield from _wrapped(finding)


def _wrapped(finding: Finding, width: int = _WRAP) -> Iterator[_Line]:
    lines = textwrap.wrap(f"{finding.rule}: {finding.text}", width) or [finding.rule]
    if len(lines) > _MOST_LINES:
        lines = [*lines[: _MOST_LINES - 1], lines[_MOST_LINES - 1][: width - 2] + " …"]
    return (_Line(line, "red") for line in lines)


def _sized(lines: list[_Line], style: str, hint: str = "") -> _Node:
    width = _LETTER * max(len(printable(line.text)) for line in lines) + 2 * _PADDING
    return _Node(Spot(width, _LINE * len(lines) + _PADDING, 0), lines, style, hint)


def _route(source: Spot, target: Spot, tensors: list[Tensor]) -> tuple[_Node, _Route]:
    """The arrow from row to row, with its label in the first gap."""
    label = _sized(list(_label(tensors)), "")
    is_turned = source.row > target.row
    upper, lower = (target, source) if is_turned else (source, target)
    label.spot.row = upper.row + 1
    bends = [Spot(0, 0, row) for row in range(upper.row + 2, lower.row)]
    spots = [upper, label.spot, *bends, lower]
    for one, other in pairwise(spots):
        one.near.append(other)
        other.near.append(one)
    return label, _Route(spots, is_turned)


def _label(tensors: list[Tensor]) -> Iterator[_Line]:
    """Several tensors in lines of their own, their types below each other."""
    if len(tensors) == 1 and tensors[0].shape:
        yield _Line(tensors[0].name)
        yield _Line(tensors[0].shape, "faint")
        return
    width = max(len(tensor.name) for tensor in tensors)
    for tensor in tensors:
        yield _Line(f"{tensor.name:<{width}}  {tensor.shape}".rstrip())


def _document(chart: Chart, nodes: list[_Node], routes: list[_Route]) -> Iterator[str]:
    head = [_Line(f"{chart.name} ({chart.facts})", "title")]
    head += [line for each in chart.findings for line in _wrapped(each, 2 * _WRAP)]
    left, top, width, height = _frame(head, list(_spots(nodes, routes)))
    box = f"{left:.0f} {top:.0f} {width:.0f} {height:.0f}"
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{box}">'
    )
    yield f"<title>{_safe(chart.name)}</title><style>{_STYLE}</style>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        'markerHeight="8" orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker></defs>'
    )
    yield f'<rect class="sheet" x="{left:.0f}" y="{top:.0f}" width="100%" height="100%"/>'
    yield from _texts(head, left + _MARGIN, top + _MARGIN)
    yield from (_path(route) for route in routes)
    for node in nodes:
        yield from _drawn(node)
    yield "</svg>"


def _frame(head: list[_Line], spots: list[Spot]) -> tuple[float, float, float, float]:
    """Left, top, width and height of the drawing, in pixels."""
    left = min((spot.x - spot.width / 2 for spot in spots), default=0)
    right = max((spot.x + spot.width / 2 for spot in spots), default=0)
    right = max(right, *(left + _LETTER * 1.3 * len(line.text) for line in head))
    bottom = max((spot.y + spot.height / 2 for spot in spots), default=0)
    top = -2 * _MARGIN - _LINE * len(head)
    return left - _MARGIN, top, right - left + 2 * _MARGIN, bottom - top + _MARGIN


def _path(route: _Route) -> str:
    """Straight past the boxes and labels of a row, curved between the rows."""
    first, last = route.spots[0], route.spots[-1]
    x, y = first.x, first.y + first.row_height / 2
    parts = [f"M{x:.1f} {first.y + first.height / 2:.1f}", *_down(first, y)]
    for spot in route.spots[1:]:
        top = spot.y - spot.row_height / 2
        middle = (y + top) / 2
        parts.append(f"C{x:.1f} {middle:.1f} {spot.x:.1f} {middle:.1f} {spot.x:.1f} {top:.1f}")
        x, y = spot.x, spot.y + spot.row_height / 2
        parts += _down(spot, spot.y - spot.height / 2) if spot is last else [f"V{y:.1f}"]
    end = "start" if route.is_turned else "end"
    return f'<path d="{" ".join(parts)}" marker-{end}="url(#tip)"/>'


def _down(spot: Spot, to: float) -> list[str]:
    """Through what a row leaves free at a lower box; a way of no length would turn the tip."""
    return [f"V{to:.1f}"] if spot.height < spot.row_height else []


def _drawn(node: _Node) -> Iterator[str]:
    spot = node.spot
    left, top = spot.x - spot.width / 2, spot.y - spot.height / 2
    style = node.style or "sheet"
    hint = f"<title>{_safe(node.hint)}</title>" if node.hint else ""
    yield (
        f'<g>{hint}<rect class="{style}" rx="4" x="{left:.1f}" y="{top:.1f}" '
        f'width="{spot.width:.1f}" height="{spot.height:.1f}"/>'
    )
    yield from _texts(node.lines, left + _PADDING, top + _PADDING / 2 + _LINE / 2)
    yield "</g>"


def _texts(lines: Sequence[_Line], x: float, y: float) -> Iterator[str]:
    for number, line in enumerate(lines):
        place_ = f'x="{x:.1f}" y="{y + number * _LINE:.1f}"'
        style = f' class="{line.style}"' if line.style else ""
        yield (
            f'<text {place_}{style} dominant-baseline="central" xml:space="preserve">'
            f"{_safe(line.text)}</text>"
        )


def _safe(text: str) -> str:
    return escape(printable(text, keep="\n"))
