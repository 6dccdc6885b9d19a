"""Findings as JSON: for programs, and as trace events for Perfetto and speedscope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triton_traces.findings import Findings
from triton_traces.text import printable
from triton_traces.tree import Node


def as_object(findings: Findings) -> dict[str, Any]:
    """All that the text says; starts are in milliseconds from the start of the request."""
    tree = findings.tree
    return {
        "request_id": tree.request_id,
        "trace_ids": list(tree.trace_ids),
        "start_unix_ns": findings.root.start_ns,
        "total_ms": _ms(findings.root.duration_ns),
        "queue_ms": _ms(findings.queue_ns),
        "compute_ms": _ms(findings.compute_ns),
        "other_ms": _ms(findings.other_ns),
        "critical_path": [
            {"path": list(step.node.path), "own_ms": _ms(step.own_ns)} for step in findings.steps
        ],
        "failed": [{"path": list(node.path), "error": node.error} for node in findings.failed],
        "notes": list(tree.notes),
        "spans": _node(findings, findings.root),
    }


def _node(findings: Findings, node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "start_ms": _ms(node.start_ns - findings.root.start_ns),
        "duration_ms": _ms(node.duration_ns),
        "self_ms": _ms(node.self_ns),
        "kind": None if node.children else node.kind.value,
        "error": node.error,
        "on_critical_path": findings.is_on_path(node),
        "children": [_node(findings, child) for child in node.children],
    }


def trace_events(findings: Findings) -> dict[str, Any]:
    """Chrome's Trace Event Format: one process, the request; one complete event a step.

    Viewers nest the events of a thread by their times, in µs from the start of the request.
    Steps that overlap without one being inside the other are on threads of their own.
    """
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": 1, "tid": 1, "args": {"name": "request"}}
    ]
    for node, thread in _threads(findings.root):
        category = "failed" if node.error else "inner" if node.children else node.kind.value
        arguments = {
            **node.attributes,
            "self ms": str(_ms(node.self_ns)),
            "on the critical path": "yes" if findings.is_on_path(node) else "no",
            "error": node.error,
        }
        events.append(
            {
                "ph": "X",
                "name": printable(node.name),
                "cat": category,
                "ts": (node.start_ns - findings.root.start_ns) / 1e3,
                "dur": node.duration_ns / 1e3,
                "pid": 1,
                "tid": thread,
                "args": {printable(k): printable(v) for k, v in arguments.items() if v},
            }
        )
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _threads(root: Node) -> Iterator[tuple[Node, int]]:
    """Each node with the first thread on which it is inside or after all earlier ones, from 1."""
    open_ends_ns: list[list[int]] = []
    nodes = [node for node, _ in root.walk()]
    for node in sorted(nodes, key=lambda node: (node.start_ns, -node.end_ns)):
        for ends in open_ends_ns:
            while ends and ends[-1] <= node.start_ns:
                ends.pop()
        fitting = (i for i, ends in enumerate(open_ends_ns) if not ends or ends[-1] >= node.end_ns)
        thread = next(fitting, len(open_ends_ns))
        if thread == len(open_ends_ns):
            open_ends_ns.append([])
        open_ends_ns[thread].append(node.end_ns)
        yield node, thread + 1


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
