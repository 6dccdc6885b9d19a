"""Findings as a drawing: time to the right, what was called below what called it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

from triton_traces.critical_path import self_ns
from triton_traces.findings import Findings
from triton_traces.terminal import printable
from triton_traces.text import milliseconds, shares, started
from triton_traces.tree import Kind, Node

WIDTH = 1200
MARGIN = 20
TOP = 92
ROW = 24
CHARACTER = 6.7
"""Width of a character of the labels, in pixels, roughly."""

_INNER = "#e3e6ea"
_COLOURS = {Kind.COMPUTE: "#9cc5e8", Kind.QUEUE: "#fbd38d", Kind.UNTOLD: "#d5d0e5"}
_FAILED = "#f4a3a3"
_LEGEND = (
    ("compute", _COLOURS[Kind.COMPUTE]),
    ("queue", _COLOURS[Kind.QUEUE]),
    ("of no kind", _COLOURS[Kind.UNTOLD]),
    ("steps inside", _INNER),
    ("failed", _FAILED),
)
_STYLE = (
    "text{font:12px Helvetica,Arial,sans-serif;fill:#1f2933}"
    ".h{font-size:16px;font-weight:bold}.s{fill:#52606d}"
    "rect{stroke:#fff;stroke-width:1}rect.c{stroke:#1f2933}line{stroke:#cbd2d9}"
)


@dataclass(frozen=True)
class Box:
    """A node and the row that it is drawn in, from 0."""

    node: Node
    row: int


def render(findings: Findings) -> str:
    """A self-contained SVG document; the full text of each box is its tooltip."""
    boxes, rows = layout(findings.root)
    height = TOP + rows * ROW + MARGIN
    body = (*_head(findings), *_axis(findings, height), *(_box(findings, box) for box in boxes))
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}">',
            f"<style>{_STYLE}</style>",
            f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
            *body,
            "</svg>\n",
        )
    )


def layout(node: Node, row: int = 0) -> tuple[list[Box], int]:
    """Boxes of the node and all below it, and the rows that they take.

    Children stand below their parent, those that run at one time below each other.
    """
    boxes, free_ns, rows = [Box(node, row)], [node.start_ns], 1
    for child in node.children:
        inner, height = layout(child)
        lane = _free_lane(free_ns, height, child.start_ns)
        free_ns.extend([node.start_ns] * (lane + height - len(free_ns)))
        free_ns[lane : lane + height] = [child.end_ns] * height
        boxes.extend(Box(box.node, row + 1 + lane + box.row) for box in inner)
        rows = max(rows, 1 + lane + height)
    return boxes, rows


def _free_lane(free_ns: list[int], height: int, start_ns: int) -> int:
    """The first of `height` lanes that are all free from `start_ns` on."""
    lane = 0
    for index, busy_until_ns in enumerate(free_ns):
        if busy_until_ns > start_ns:
            lane = index + 1
        elif index - lane + 1 == height:
            return lane
    return lane


def _head(findings: Findings) -> Iterator[str]:
    tree = findings.tree
    yield _text(MARGIN, 26, f"request {tree.request_id or '(no id)'}", "h")
    yield _text(MARGIN, 45, f"trace {' and '.join(tree.trace_ids)}, {started(findings)}", "s")
    yield _text(MARGIN, 63, f"{shares(findings)}, along the critical path (outlined)")
    left = WIDTH - MARGIN - 480
    for name, colour in _LEGEND:
        yield f'<rect x="{left}" y="14" width="14" height="14" fill="{colour}"/>'
        yield _text(left + 19, 26, name)
        left += 40 + int(len(name) * CHARACTER)


def _axis(findings: Findings, height: int) -> Iterator[str]:
    for tenth in range(0, 11, 2):
        x = MARGIN + (WIDTH - 2 * MARGIN) * tenth / 10
        moment_ns = findings.root.duration_ns * tenth // 10
        label = f"{milliseconds(moment_ns)} ms" if tenth else "0"
        anchor = {0: "start", 10: "end"}.get(tenth, "middle")
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - MARGIN}"/>'
        yield f'<text class="s" x="{x:.1f}" y="{TOP - 10}" text-anchor="{anchor}">{label}</text>'


def _box(findings: Findings, box: Box) -> str:
    node, scale = box.node, (WIDTH - 2 * MARGIN) / max(1, findings.root.duration_ns)
    x = MARGIN + (node.start_ns - findings.root.start_ns) * scale
    width, y = max(1.0, node.duration_ns * scale), TOP + box.row * ROW
    label = _label(node, width)
    outline = ' class="c"' if findings.is_on_path(node) and width > 3 else ""
    return (
        f"<g><title>{_escaped(_tooltip(findings, node))}</title>"
        f'<rect{outline} x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 2}" rx="2" '
        f"fill={quoteattr(_colour(node))}/>{_text(x + 5, y + 15, label) if label else ''}</g>"
    )


def _label(node: Node, width: float) -> str:
    """As much as fits into the box; nothing where only a letter or two would."""
    room = int((width - 8) / CHARACTER)
    full = f"{node.name} {milliseconds(node.duration_ns)}"
    if len(full) <= room:
        return full
    return node.name if len(node.name) <= room else f"{node.name[: room - 1]}…" if room > 3 else ""


def _tooltip(findings: Findings, node: Node) -> str:
    kind = "" if node.children else f", {node.kind.value}"
    error = f", failed: {node.error}" if node.error else ""
    own = f", itself {milliseconds(self_ns(node))} ms" if node.children else ""
    begin = milliseconds(node.start_ns - findings.root.start_ns)
    share = f"{findings.share(node.duration_ns):.1%}"
    length = f"{milliseconds(node.duration_ns)} ms ({share}){own}"
    return f"{node.name}: {length}, from {begin} ms{kind}{error}"


def _colour(node: Node) -> str:
    if node.error:
        return _FAILED
    return _INNER if node.children else _COLOURS[node.kind]


def _text(x: float, y: int, text: str, style: str = "") -> str:
    attribute = f' class="{style}"' if style else ""
    return f'<text{attribute} x="{x:.1f}" y="{y}">{_escaped(text)}</text>'


def _escaped(text: str) -> str:
    """Without what XML can't hold: control characters, halves of surrogate pairs."""
    legal = "".join(char for char in printable(text) if char not in "\ufffe\uffff")
    return escape(legal.encode("utf-8", "replace").decode())
