"""The critical path, own times, and which step failed, of made and of real traces."""

from hypothesis import given
from hypothesis import strategies as st
from made_spans import MS, assert_nested, real, span
from triton_traces.findings import analyse, critical_path
from triton_traces.selection import select_request
from triton_traces.spans import Span
from triton_traces.trace_events import trace_events
from triton_traces.tree import Kind, Node, make_tree


def steps(*spans: Span) -> list[tuple[str, float]]:
    """The critical path as names and milliseconds."""
    return [(p.node.name, p.duration_ns / MS) for p in critical_path(make_tree(list(spans)).root)]


def test_path_of_steps_one_after_the_other() -> None:
    spans = [span("a", 0, 10), span("b", 1, 4, "a"), span("c", 5, 9, "a")]
    assert steps(*spans) == [("a", 1), ("b", 3), ("a", 1), ("c", 4), ("a", 1)]


def test_path_takes_the_slower_of_parallel_steps() -> None:
    spans = [span("a", 0, 10), span("fast", 0, 4, "a"), span("slow", 0, 8, "a")]
    assert steps(*spans, span("end", 8, 10, "a")) == [("slow", 8), ("end", 2)]


def test_path_goes_through_a_step_that_closes_a_little_late() -> None:
    spans = [span("a", 0, 10), span("b", 0, 5.5, "a"), span("c", 5, 10, "a")]
    assert steps(*spans) == [("b", 5), ("c", 5)]


def test_path_does_not_blame_a_step_that_ran_beside() -> None:
    spans = [span("a", 0, 10), span("b", 0, 4, "a"), span("beside", 4.5, 7, "a")]
    assert steps(*spans, span("c", 5, 10, "a")) == [("b", 4), ("a", 1), ("c", 5)]


def test_self_time_is_what_no_child_covers() -> None:
    spans = [span("a", 0, 10), span("b", 1, 4, "a"), span("b2", 2, 5, "a"), span("c", 6, 9, "a")]
    root = make_tree(spans).root
    assert root.self_ns == 3 * MS
    assert root.children[0].self_ns == 3 * MS


@st.composite
def nodes(draw: st.DrawFn, start: int = 0, depth: int = 0) -> Node:
    """A node whose children follow each other, with and without gaps."""
    children, cursor = [], start + draw(st.integers(0, 3))
    for _ in range(draw(st.integers(0, 3)) if depth < 3 else 0):
        child = draw(nodes(cursor, depth + 1))
        children.append(child)
        cursor = child.end_ns + draw(st.integers(0, 3))
    return Node(("x",), start, cursor, children=tuple(children))


@given(nodes())
def test_own_times_add_up(root: Node) -> None:
    assert sum(node.self_ns for node, _ in root.walk()) == root.duration_ns


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(0, 50), st.integers(0, 9)), max_size=9),
)
def test_the_path_covers_the_request_without_overlap(drawn: list[tuple[int, int, int]]) -> None:
    spans = [span("0", 0, 40)]
    for number, (start, length, parent) in enumerate(drawn, 1):
        spans.append(span(str(number), start, start + length, str(min(parent, number - 1))))
    root = make_tree(spans).root
    parts = critical_path(root)
    assert [part.end_ns for part in parts[:-1]] == [part.start_ns for part in parts[1:]]
    assert (parts[0].start_ns, parts[-1].end_ns) == (root.start_ns, root.end_ns)
    assert_nested(trace_events(analyse(spans))["traceEvents"])


def test_queue_compute_and_the_rest_add_up() -> None:
    found = analyse(
        [
            span("llm", 0, 10),
            span("queue", 0, 3, "llm", kind="queue"),
            span("decode", 4, 10, "llm", kind="compute"),
        ]
    )
    assert (found.queue_ns, found.compute_ns, found.other_ns) == (3 * MS, 6 * MS, 1 * MS)


def test_the_step_that_failed_is_the_innermost() -> None:
    error = {"error.type": "invalid"}
    found = analyse(
        [
            span("rag", 0, 10, has_failed=True, attributes=error),
            span("call llm", 2, 9, "rag", has_failed=True, attributes=error),
            span("llm", 3, 8, "call llm", has_failed=True, attributes={}),
        ]
    )
    assert [(node.label, node.error) for node in found.failed] == [
        ("call llm › llm", "error without a class")
    ]


def test_a_streamed_answer_is_explained_to_the_stage() -> None:
    found = analyse(real("rag_cancellable.json"))
    path = [step.node.name for step in found.steps]
    for stage in ("passage_splitter", "embedder", "reranker", "prompt_builder", "prefill"):
        assert stage in path, f"'{stage}' is not among {path}"
    assert path.index("embedder") < path.index("reranker") < path.index("prefill")
    assert found.queue_ns + found.compute_ns + found.other_ns == found.root.duration_ns
    assert found.tree.notes == ()


def test_tritons_own_mode_tells_the_queue_of_every_step() -> None:
    found = analyse(real("rag-with-tritons-own.json"))
    queues = [node for node, _ in found.root.walk() if node.kind is Kind.QUEUE]
    assert len(queues) == 12  # of 11 steps in Triton, and of the engine
    assert all(node.duration_ns > 0 for node in queues)
    assert found.tree.notes == ()
    assert found.share(found.other_ns) < 0.1


def test_what_triton_sends_by_itself_is_understood() -> None:
    spans, note = select_request(real("tritons-own-export.json"), "my-id")
    found = analyse(spans)
    assert (found.root.name, note) == ("InferRequest", "")
    assert found.tree.request_id == "my-id"
    assert found.compute_ns > found.queue_ns > 0
