"""Findings as text for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triton_traces.critical_path import self_ns
from triton_traces.findings import Findings, Step
from triton_traces.terminal import printable
from triton_traces.tree import Kind, Node

MIN_WIDTH = 60
MAX_NAME = 32
_SMALL = 0.01


@dataclass(frozen=True)
class Glyphs:
    """What bars are drawn with."""

    inner: str
    bars: dict[Kind, str]
    arrow: str = " › "


FINE = Glyphs("━", {Kind.COMPUTE: "█", Kind.QUEUE: "░", Kind.UNTOLD: "▒"})
PLAIN = Glyphs("=", {Kind.COMPUTE: "#", Kind.QUEUE: ".", Kind.UNTOLD: "%"}, " > ")
"""For terminals and files that can't show the others."""


def render(findings: Findings, width: int, glyphs: Glyphs = FINE) -> str:
    """The flame graph and the summary, `width` characters wide (60 at least)."""
    sections = (
        _head(findings),
        _flame(findings, max(MIN_WIDTH, width), glyphs),
        _failures(findings.failed, findings),
        _critical(findings),
        _gaps(findings),
        (f"note: {note}" for note in findings.tree.notes),
    )
    text = "\n\n".join(filter(None, ("\n".join(section) for section in sections)))
    return printable(text if glyphs is FINE else text.replace(FINE.arrow, glyphs.arrow))


def milliseconds(duration_ns: int) -> str:
    """Such as `12.3`, with three digits that count or all before the point."""
    ms = duration_ns / 1e6
    if ms >= 99.95:
        return f"{ms:,.0f}"
    return f"{ms:.1f}" if ms >= 9.995 else f"{ms:.2f}"


def shares(findings: Findings) -> str:
    """Queue against compute on one line."""
    parts = (
        ("queue", findings.queue_ns),
        ("compute", findings.compute_ns),
        ("other", findings.rest_ns),
    )
    told = (f"{name} {milliseconds(ns)} ms ({findings.share(ns):.0%})" for name, ns in parts)
    return f"total {milliseconds(findings.root.duration_ns)} ms = {' + '.join(told)}"


def started(findings: Findings) -> str:
    """When, in UTC."""
    seconds, rest_ns = divmod(findings.root.start_ns, 10**9)
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds))
    return f"{moment}.{rest_ns // 10**6:03d} UTC"


def _head(findings: Findings) -> Iterator[str]:
    tree = findings.tree
    yield f"request {tree.request_id or '(no id)'}  {started(findings)}"
    yield f"trace {' and '.join(tree.trace_ids)}"
    yield f"{shares(findings)}, along the critical path"


def _flame(findings: Findings, width: int, glyphs: Glyphs) -> Iterator[str]:
    rows = list(findings.root.walk())
    widest = max(len(node.name) + 2 * depth for node, depth in rows) + 3
    name_width = min(widest, MAX_NAME, width // 3)
    bar_width = width - name_width - 20
    yield f"{'':{name_width}}{'ms':>9} {'self ms':>9} {_axis(findings.root.duration_ns, bar_width)}"
    for node, depth in rows:
        name = _cut(f"{_mark(findings, node)}{'  ' * depth}{node.name}", name_width)
        own = milliseconds(self_ns(node))
        bar = _bar(findings.root, node, bar_width, glyphs)
        yield f"{name:{name_width}}{milliseconds(node.duration_ns):>9} {own:>9} {bar}"
    inside = f"{glyphs.inner} steps inside"
    kinds = (f"{glyphs.bars[kind]} {kind.value}" for kind in (Kind.COMPUTE, Kind.QUEUE))
    untold = f"{glyphs.bars[Kind.UNTOLD]} of no kind"
    yield f"{inside}   {'   '.join(kinds)}   {untold}   * on the critical path   ! failed"


def _mark(findings: Findings, node: Node) -> str:
    if node.error:
        return "! "
    return "* " if findings.is_on_path(node) else "  "


def _axis(duration_ns: int, width: int) -> str:
    end = f"{milliseconds(duration_ns)} ms"
    middle = milliseconds(duration_ns // 2)
    left = "0" + middle.rjust(width // 2 + len(middle) // 2 - 1)
    return left + end.rjust(max(len(end) + 1, width - len(left)))


def _bar(root: Node, node: Node, width: int, glyphs: Glyphs) -> str:
    """At its place on the time axis; one cell at least."""
    scale = width / max(1, root.duration_ns)
    first = min(width - 1, int((node.start_ns - root.start_ns) * scale))
    last = max(first + 1, round((node.end_ns - root.start_ns) * scale))
    glyph = glyphs.inner if node.children else glyphs.bars[node.kind]
    label = f" {node.error}" if node.error else ""
    return " " * first + glyph * (last - first) + label


def _failures(failed: Sequence[Step], findings: Findings) -> Iterator[str]:
    for step in failed:
        after = milliseconds(step.node.end_ns - findings.root.start_ns)
        yield f"failed: {step.label}, {step.node.error}, {after} ms after the request began"


def _critical(findings: Findings) -> Iterator[str]:
    yield "critical path (what the end waited for)"
    small = [step for step in findings.steps if findings.share(step.own_ns) < _SMALL]
    for step in findings.steps:
        if findings.share(step.own_ns) >= _SMALL:
            own = " itself" if step.node.children else ""
            yield _line(findings, f"{step.label}{own}", step.own_ns)
    if small:
        yield _line(findings, f"{len(small)} smaller", sum(step.own_ns for step in small))


def _gaps(findings: Findings) -> Iterator[str]:
    shown = [gap for gap in findings.gaps if findings.share(gap.duration_ns) >= _SMALL]
    if not shown:
        return
    total = milliseconds(sum(gap.duration_ns for gap in findings.gaps))
    yield f"gaps that no span explains ({total} ms in all)"
    for gap in shown[:5]:
        after = f"after {gap.after}" if gap.after else "at its start"
        before = f", before {gap.before}" if gap.before else ", at its end"
        yield _line(findings, f"{gap.node.name}: {after}{before}", gap.duration_ns)


def _line(findings: Findings, what: str, duration_ns: int) -> str:
    return f"  {milliseconds(duration_ns):>8} ms {findings.share(duration_ns):>4.0%}  {what}"


def _cut(text: str, width: int) -> str:
    return text if len(text) < width else text[: width - 2] + "… "
