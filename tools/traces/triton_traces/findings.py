"""What a trace tells, in numbers: for the text, the drawing and JSON alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from triton_traces.critical_path import Gap, Part, critical_path, gaps
from triton_traces.spans import Span
from triton_traces.tree import Kind, Node, Tree, make_tree


@dataclass(frozen=True)
class Step:
    """A node on the critical path, the names above it, and its own time on the path."""

    node: Node
    path: tuple[str, ...]
    own_ns: int

    @property
    def label(self) -> str:
        """Its name, behind its parent's: many steps are called `queue`."""
        return " › ".join(self.path[-2:])


@dataclass(frozen=True)
class Findings:
    """A request explained. The three shares add up to the root's duration."""

    tree: Tree
    steps: tuple[Step, ...]
    """The critical path in order of time."""
    queue_ns: int
    compute_ns: int
    rest_ns: int
    """On the path, but neither queue nor compute: between the steps, or in one of no kind."""
    failed: tuple[Step, ...]
    """Steps that failed and have no failed step inside, the first to fail first."""
    gaps: tuple[Gap, ...]
    """Time that no span explains, longest first."""
    on_path: frozenset[int]
    """Identities of the nodes on the critical path: equal spans may be there twice."""

    @property
    def root(self) -> Node:
        """The whole request."""
        return self.tree.root

    def share(self, duration_ns: int) -> float:
        """0 to 1, of the whole request."""
        return duration_ns / max(1, self.root.duration_ns)

    def is_on_path(self, node: Node) -> bool:
        """Whether the node held up the end of the request."""
        return id(node) in self.on_path


def explain(spans: Sequence[Span]) -> Findings:
    """What the spans of one request tell; raises `TraceError`."""
    tree = make_tree(spans)
    paths, parts = _paths(tree.root), critical_path(tree.root)
    queue_ns, compute_ns = (_spent(parts, kind) for kind in (Kind.QUEUE, Kind.COMPUTE))
    failed = [node for node, _ in tree.root.walk() if node.error and not _fails_inside(node)]
    return Findings(
        tree,
        tuple(_steps(parts, paths)),
        queue_ns,
        compute_ns,
        tree.root.duration_ns - queue_ns - compute_ns,
        tuple(
            Step(node, paths[id(node)], node.duration_ns)
            for node in sorted(failed, key=lambda node: node.end_ns)
        ),
        tuple(gaps(tree.root)),
        frozenset(id(part.node) for part in parts),
    )


def _paths(node: Node, above: tuple[str, ...] = ()) -> dict[int, tuple[str, ...]]:
    own = (*above, node.name)
    found = {id(node): own}
    for child in node.children:
        found |= _paths(child, own)
    return found


def _steps(parts: Sequence[Part], paths: dict[int, tuple[str, ...]]) -> list[Step]:
    spent: dict[int, tuple[Node, int]] = {}
    for part in parts:
        _, before_ns = spent.get(id(part.node), (part.node, 0))
        spent[id(part.node)] = part.node, before_ns + part.duration_ns
    return [Step(node, paths[key], own_ns) for key, (node, own_ns) in spent.items()]


def _spent(parts: Sequence[Part], kind: Kind) -> int:
    return sum(p.duration_ns for p in parts if p.node.kind is kind and not p.node.children)


def _fails_inside(node: Node) -> bool:
    return any(inner.error for child in node.children for inner, _ in child.walk())
