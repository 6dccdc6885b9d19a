"""Which steps decided when a request ended, and which time no step accounts for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from triton_traces.tree import Node


@dataclass(frozen=True)
class Part:
    """A stretch of the critical path, spent in `node` itself, in none of its children."""

    node: Node
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        """From its start to its end."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Gap:
    """Time inside `node` in which none of its children ran; `after`, `before`: its neighbours."""

    node: Node
    start_ns: int
    end_ns: int
    after: str
    before: str

    @property
    def duration_ns(self) -> int:
        """From its start to its end."""
        return self.end_ns - self.start_ns


def critical_path(root: Node) -> list[Part]:
    """Parts that follow each other from the root's start to its end without a hole.

    Found backwards: what ended last held up the end, what ended last before that began held it
    up in turn.
    """
    return list(_path(root, root.start_ns, root.end_ns))[::-1]


def _path(node: Node, start_ns: int, end_ns: int) -> Iterator[Part]:
    cursor = end_ns
    while (child := _last_before(node, start_ns, cursor)) is not None:
        end = min(child.end_ns, cursor)
        if end < cursor:
            yield Part(node, end, cursor)
        cursor_before, cursor = end, max(child.start_ns, start_ns)
        yield from _path(child, cursor, cursor_before)
    if start_ns < cursor:
        yield Part(node, start_ns, cursor)


def _last_before(node: Node, start_ns: int, cursor: int) -> Node | None:
    """The child that ended last before `cursor`.

    A step's span often ends a little after the next one's begins: the answer is out, the span not
    yet closed. So a child counts as before when half of it is.
    """
    ended = [
        child
        for child in node.children
        if child.start_ns < cursor
        and start_ns < child.end_ns
        and child.duration_ns
        and child.start_ns + child.end_ns <= 2 * cursor
    ]
    return max(ended, key=lambda c: (min(c.end_ns, cursor), -c.end_ns), default=None)


def self_ns(node: Node) -> int:
    """Time in which none of its children ran; all of it where it has none."""
    if not node.children:
        return node.duration_ns
    return sum(gap.duration_ns for gap in gaps_of(node))


def gaps(root: Node) -> list[Gap]:
    """Every gap of the tree, longest first."""
    found = [gap for node, _ in root.walk() for gap in gaps_of(node)]
    return sorted(found, key=lambda gap: -gap.duration_ns)


def gaps_of(node: Node) -> Iterator[Gap]:
    """Gaps between the node's own children; none where it has no children."""
    if not node.children:
        return
    covered_ns, after = node.start_ns, ""
    for child in node.children:
        if child.start_ns > covered_ns:
            yield Gap(node, covered_ns, child.start_ns, after, child.name)
        if child.end_ns >= covered_ns:
            covered_ns, after = child.end_ns, child.name
    if covered_ns < node.end_ns:
        yield Gap(node, covered_ns, node.end_ns, after, "")
