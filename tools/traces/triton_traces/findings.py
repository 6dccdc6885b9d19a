"""Analyses a trace: its critical path, time in queues and in compute, and failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from triton_traces.spans import Span
from triton_traces.tree import Kind, Node, Tree, make_tree


@dataclass(frozen=True)
class Part:
    """A stretch of the critical path, spent in `node` itself, in none of its children."""

    node: Node
    start_ns: int
    end_ns: int

    @property
    def duration_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True)
class Step:
    """A node on the critical path, and its own time there: without its children."""

    node: Node
    own_ns: int


@dataclass(frozen=True)
class Findings:
    """Where a request spent its time. Queue, compute and other add up to the root's duration."""

    tree: Tree
    steps: tuple[Step, ...]
    """The critical path in order of time."""
    queue_ns: int
    compute_ns: int
    other_ns: int
    """On the path, but neither queue nor compute: between steps, or in one of another kind."""
    failed: tuple[Node, ...]
    """Steps that failed and have no failed step inside, the first to fail first."""
    on_path: frozenset[int]
    """`id()` of each node on the critical path: two nodes may be equal."""

    @property
    def root(self) -> Node:
        return self.tree.root

    def share(self, duration_ns: int) -> float:
        """0 to 1, of the whole request."""
        return duration_ns / max(1, self.root.duration_ns)

    def is_on_path(self, node: Node) -> bool:
        return id(node) in self.on_path


def analyse(spans: Sequence[Span]) -> Findings:
    tree = make_tree(spans)
    parts = critical_path(tree.root)
    queue_ns, compute_ns = (_spent_ns(parts, kind) for kind in (Kind.QUEUE, Kind.COMPUTE))
    failed = [node for node, _ in tree.root.walk() if node.error and not _fails_inside(node)]
    return Findings(
        tree,
        tuple(_steps(parts)),
        queue_ns,
        compute_ns,
        tree.root.duration_ns - queue_ns - compute_ns,
        tuple(sorted(failed, key=lambda node: node.end_ns)),
        frozenset(id(part.node) for part in parts),
    )


def critical_path(root: Node) -> list[Part]:
    """Parts that follow each other from the root's start to its end without a gap.

    It is found backwards: the request waited for the step that ended last, that step for the one
    that ended last before it began, and so on.
    """
    return list(_path_backwards(root, root.start_ns, root.end_ns))[::-1]


def _path_backwards(node: Node, start_ns: int, end_ns: int) -> Iterator[Part]:
    cursor = end_ns
    while (child := _last_before(node, start_ns, cursor)) is not None:
        end = min(child.end_ns, cursor)
        if end < cursor:
            yield Part(node, end, cursor)
        cursor = max(child.start_ns, start_ns)
        yield from _path_backwards(child, cursor, end)
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


def _steps(parts: Sequence[Part]) -> Iterator[Step]:
    nodes = {id(part.node): part.node for part in parts}
    for node in nodes.values():
        yield Step(node, sum(part.duration_ns for part in parts if part.node is node))


def _spent_ns(parts: Sequence[Part], kind: Kind) -> int:
    return sum(p.duration_ns for p in parts if p.node.kind is kind and not p.node.children)


def _fails_inside(node: Node) -> bool:
    return any(inner.error for child in node.children for inner, _ in child.walk())
