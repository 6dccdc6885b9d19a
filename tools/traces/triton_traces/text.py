"""Findings as text for a terminal."""

from __future__ import annotations

import time
from collections.abc import Iterator
from unicodedata import category

from triton_traces.findings import Findings
from triton_traces.tree import Kind, Node

MIN_WIDTH = 60
MAX_NAME = 32
_SMALL = 0.01
_BARS = {Kind.COMPUTE: "█", Kind.QUEUE: "░", Kind.OTHER: "▒"}
_ASCII = str.maketrans("━█░▒›…", "=#.%>~")
_LEGEND = "━ steps inside   █ compute   ░ queue   ▒ other   * on the critical path   ! failed"


def render(findings: Findings, width: int) -> str:
    """The steps on a time axis and the summary, `width` characters wide (60 at least)."""
    sections = (
        _head(findings),
        _step_rows(findings, max(MIN_WIDTH, width)),
        _failures(findings),
        _critical_path(findings),
        (f"note: {note}" for note in findings.tree.notes),
    )
    return printable("\n\n".join(filter(None, ("\n".join(section) for section in sections))))


def printable(text: str) -> str:
    """The text without control characters: names in a trace must not steer the terminal."""
    return "".join(char for char in text if char == "\n" or category(char) not in ("Cc", "Cs"))


def encodable(text: str, encoding: str) -> str:
    """The text with ASCII characters for those that the encoding lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)
    return text


def _head(findings: Findings) -> Iterator[str]:
    tree, start_ns = findings.tree, findings.root.start_ns
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(start_ns // 10**9))
    yield f"request {tree.request_id or '(no id)'}  {moment}.{start_ns // 10**6 % 1000:03d} UTC"
    yield f"trace {' and '.join(tree.trace_ids)}"
    parts = {"queue": findings.queue_ns, "compute": findings.compute_ns, "other": findings.other_ns}
    shares = (f"{name} {_ms(ns)} ms ({findings.share(ns):.0%})" for name, ns in parts.items())
    total = _ms(findings.root.duration_ns)
    yield f"total {total} ms = {' + '.join(shares)}, along the critical path"


def _step_rows(findings: Findings, width: int) -> Iterator[str]:
    rows = list(findings.root.walk())
    widest = max(len(node.name) + 2 * depth for node, depth in rows) + 3
    name_width = min(widest, MAX_NAME, width // 3)
    yield f"{'':{name_width}}{'ms':>9} {'self ms':>9}"
    for node, depth in rows:
        mark = "!" if node.error else "*" if findings.is_on_path(node) else " "
        name = f"{mark} {'  ' * depth}{node.name}"
        if len(name) >= name_width:
            name = f"{name[: name_width - 2]}… "
        times = f"{_ms(node.duration_ns):>9} {_ms(node.self_ns):>9}"
        yield f"{name:{name_width}}{times} {_bar(findings.root, node, width - name_width - 20)}"
    yield _LEGEND


def _bar(root: Node, node: Node, width: int) -> str:
    """The step's time as part of the root's; one character at least."""
    scale = width / max(1, root.duration_ns)
    first = min(width - 1, int((node.start_ns - root.start_ns) * scale))
    last = max(first + 1, round((node.end_ns - root.start_ns) * scale))
    char = "━" if node.children else _BARS[node.kind]
    label = f" {node.error}" if node.error else ""
    return " " * first + char * (last - first) + label


def _failures(findings: Findings) -> Iterator[str]:
    for node in findings.failed:
        after = _ms(node.end_ns - findings.root.start_ns)
        yield f"failed: {node.label}, {node.error}, {after} ms after the request began"


def _critical_path(findings: Findings) -> Iterator[str]:
    yield "critical path (the steps that the end waited for)"
    small = [step for step in findings.steps if findings.share(step.own_ns) < _SMALL]
    for step in findings.steps:
        if findings.share(step.own_ns) >= _SMALL:
            own = " itself" if step.node.children else ""
            yield _path_line(findings, f"{step.node.label}{own}", step.own_ns)
    if small:
        yield _path_line(findings, f"{len(small)} smaller", sum(step.own_ns for step in small))


def _path_line(findings: Findings, what: str, duration_ns: int) -> str:
    return f"  {_ms(duration_ns):>8} ms {findings.share(duration_ns):>4.0%}  {what}"


def _ms(duration_ns: int) -> str:
    """Three significant digits, or all before the point: `12.3`, `1,234`."""
    ms = duration_ns / 1e6
    return f"{ms:,.0f}" if ms >= 99.95 else f"{ms:.1f}" if ms >= 9.995 else f"{ms:.2f}"
