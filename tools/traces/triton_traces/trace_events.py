"""Findings as trace events, for Perfetto and speedscope."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from triton_traces.findings import Findings
from triton_traces.text import printable
from triton_traces.tree import Node


def trace_events(findings: Findings) -> dict[str, Any]:
    """Chrome's Trace Event Format: one process, the request; one complete event a step.

    Viewers nest the events of a thread by their times, which are in µs from the request's start.
    """
    events = [{"ph": "M", "name": "process_name", "pid": 1, "tid": 1, "args": {"name": "request"}}]
    for node, thread in _threads(findings.root):
        events.append(
            {
                "ph": "X",
                "name": printable(f"{node.name} ({node.error})" if node.error else node.name),
                "cat": "step" if node.children else node.kind.value,
                "ts": (node.start_ns - findings.root.start_ns) / 1e3,
                "dur": node.duration_ns / 1e3,
                "pid": 1,
                "tid": thread,
            }
        )
    return {"displayTimeUnit": "ms", "traceEvents": events}


def _threads(root: Node) -> Iterator[tuple[Node, int]]:
    """Each node with its thread, from 1: its parent's, or another where a step beside it runs."""
    parents = {id(child): node for node, _ in root.walk() for child in node.children}
    open_nodes: list[list[Node]] = []
    for node in sorted((node for node, _ in root.walk()), key=lambda n: (n.start_ns, -n.end_ns)):
        for stack in open_nodes:
            while stack and stack[-1].end_ns <= node.start_ns:
                stack.pop()
        parent = parents.get(id(node))
        free = [i for i, stack in enumerate(open_nodes) if not stack] + [len(open_nodes)]
        inside = (i for i, stack in enumerate(open_nodes) if stack and stack[-1] is parent)
        thread = next(inside, free[0])
        open_nodes.extend([[]] if thread == len(open_nodes) else [])
        open_nodes[thread].append(node)
        yield node, thread + 1
