"""Findings as JSON, for programs."""

from __future__ import annotations

from typing import Any

from triton_traces.critical_path import Gap, self_ns
from triton_traces.findings import Findings, Step
from triton_traces.tree import Node


def as_object(findings: Findings) -> dict[str, Any]:
    """Everything that the text says; times are milliseconds from the start of the request."""
    tree = findings.tree
    return {
        "request_id": tree.request_id,
        "trace_ids": list(tree.trace_ids),
        "start_unix_ns": findings.root.start_ns,
        "total_ms": _ms(findings.root.duration_ns),
        "queue_ms": _ms(findings.queue_ns),
        "compute_ms": _ms(findings.compute_ns),
        "other_ms": _ms(findings.rest_ns),
        "critical_path": [_step(step) for step in findings.steps],
        "failed": [_step(step) | {"error": step.node.error} for step in findings.failed],
        "gaps": [_gap(findings, gap) for gap in findings.gaps],
        "notes": list(tree.notes),
        "spans": _node(findings, findings.root),
    }


def _step(step: Step) -> dict[str, Any]:
    return {"path": list(step.path), "own_ms": _ms(step.own_ns)}


def _gap(findings: Findings, gap: Gap) -> dict[str, Any]:
    return {
        "inside": gap.node.name,
        "after": gap.after,
        "before": gap.before,
        "start_ms": _ms(gap.start_ns - findings.root.start_ns),
        "duration_ms": _ms(gap.duration_ns),
    }


def _node(findings: Findings, node: Node) -> dict[str, Any]:
    return {
        "name": node.name,
        "start_ms": _ms(node.start_ns - findings.root.start_ns),
        "duration_ms": _ms(node.duration_ns),
        "self_ms": _ms(self_ns(node)),
        "kind": None if node.children else node.kind.value,
        "error": node.error,
        "on_critical_path": findings.is_on_path(node),
        "children": [_node(findings, child) for child in node.children],
    }


def _ms(duration_ns: int) -> float:
    return round(duration_ns / 1e6, 6)
