"""Spans are read from OTLP, and made a tree."""

from dataclasses import replace

import pytest
from made_spans import MS, START, otlp, raw, span
from triton_traces.spans import TraceError, read_spans
from triton_traces.tree import Kind, make_tree


def test_a_span_is_read() -> None:
    attribute = {"key": "triton.request.id", "value": {"stringValue": "mine"}}
    number = {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "7"}}
    (found,) = read_spans(
        otlp(raw(status={"code": 2}, attributes=[attribute, number], parentSpanId="AB"))
    )
    assert (found.name, found.request_id, found.parent_id) == ("llm", "mine", "ab")
    assert (found.start_ns, found.end_ns, found.has_failed) == (START, START + MS, True)
    assert found.attributes["gen_ai.usage.input_tokens"] == "7"


def test_one_document_on_each_line() -> None:
    lines = f"{otlp(raw('a'))}\n\n{otlp(raw('b'))}\n"
    assert [found.name for found in read_spans(lines)] == ["a", "b"]
    assert [found.name for found in read_spans(lines + otlp(raw())[:50])] == ["a", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "no JSON: empty"),
        ("{", "no JSON: Expecting"),
        ("[1]", r"'resourceSpans' is needed, found \[1\]"),
        ('{"data": []}', "'resourceSpans' is needed, found data"),
        (f"{otlp(raw())}\n[\n", "line 2: no JSON"),
        (f"{otlp(raw())}\n7", "line 2: no OTLP"),
        (otlp({"name": "x"}), "a span can't be read .*traceId"),
        (otlp(raw(startTimeUnixNano="soon")), "a span can't be read"),
        ('{"resourceSpans": 7}', "a span can't be read"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_trace_is_told(content: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read_spans(content)


# --- the tree ------------------------------------------------------------------------------------


def test_children_are_in_their_parents_in_order_of_time() -> None:
    root = make_tree([span("c", 5, 9, "a"), span("a", 0, 10), span("b", 1, 4, "a")]).root
    assert [(node.name, depth) for node, depth in root.walk()] == [("a", 0), ("b", 1), ("c", 1)]


def test_several_roots_get_one_around_them() -> None:
    tree = make_tree([span("a", 0, 4, "client"), span("b", 6, 10, "client")])
    assert (tree.root.name, tree.root.duration_ns) == ("request", 10 * MS)
    assert tree.notes == ("2 spans have no parent here: 'request' was put around them",)


def test_the_clients_own_span_is_not_missed() -> None:
    tree = make_tree([span("a", 0, 4, "client")])
    assert (tree.root.name, tree.notes) == ("a", ())


def test_a_child_outside_of_its_parent_is_cut_and_told() -> None:
    spans = [span("a", 10, 20), span("b", 7, 15, "a"), span("c", 19, 22, "a")]
    tree = make_tree([*spans, span("d", 30, 31, "a")])
    shown = [(c.name, c.start_ns - START, c.end_ns - START) for c in tree.root.children]
    assert shown == [("b", 10 * MS, 15 * MS), ("c", 19 * MS, 20 * MS), ("d", 20 * MS, 20 * MS)]
    assert "b by 3 ms, c by 2 ms, d by 11 ms" in tree.notes[0]


def test_a_span_that_never_ended_lasts_to_the_end_of_the_trace() -> None:
    tree = make_tree([span("a", 0, 10), replace(span("b", 4, 5, "a"), end_ns=0)])
    assert tree.root.children[0].end_ns == START + 10 * MS
    assert tree.notes == ("1 without an end: shown to the end of the trace",)


def test_a_span_sent_twice_is_one() -> None:
    assert make_tree([span("a", 0, 10), span("a", 0, 10)]).root.children == ()


def test_loops_are_left_out_and_told() -> None:
    tree = make_tree([span("a", 0, 10), span("b", 1, 2, "c"), span("c", 1, 2, "b")])
    assert tree.root.children == ()
    assert tree.notes == ("2 spans left out: they are their own ancestors",)
    with pytest.raises(TraceError, match="no beginning"):
        make_tree([span("b", 1, 2, "c"), span("c", 1, 2, "b")])


def test_no_spans_and_bottomless_ones_are_refused() -> None:
    with pytest.raises(TraceError, match="no spans"):
        make_tree([])
    deep = [span(str(i), 0, 10, str(i - 1)) for i in range(2000)]
    with pytest.raises(TraceError, match="more than 100 spans inside each other"):
        make_tree(deep)


def test_tritons_moments_become_its_queue() -> None:
    model = span(
        "embedder",
        0,
        10,
        events={"REQUEST_START": START, "QUEUE_START": START + MS},
    )
    compute = span("compute", 4, 10, "embedder", events={"COMPUTE_START": START + 4 * MS})
    queue, work = make_tree([model, compute]).root.children
    assert (queue.name, queue.kind, queue.duration_ns) == ("queue", Kind.QUEUE, 3 * MS)
    assert work.kind is Kind.COMPUTE


def test_tritons_span_of_a_stream_lasts_as_long_as_the_stream() -> None:
    taken_up = span("llm", 0, 2, events={"REQUEST_START": START})
    tree = make_tree([taken_up, span("decode", 1, 50, "llm")])
    assert (tree.root.duration_ns, tree.notes) == (50 * MS, ())
