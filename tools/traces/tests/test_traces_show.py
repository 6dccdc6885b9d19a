"""`triton-traces show`: made traces, and ones that the real server sent (the folder traces)."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from triton_traces.command import main
from triton_traces.findings import analyse, critical_path
from triton_traces.json_output import as_object, trace_events
from triton_traces.selection import select_request
from triton_traces.spans import NoSuchTrace, Span, TraceError, read_spans
from triton_traces.text import encodable, render
from triton_traces.tree import Kind, Node, make_tree

TRACES = Path(__file__).parent / "traces"
TRACE = "0af7651916cd43dd8448eb211c80319c"
MS = 1_000_000
START = 1_795_240_565 * 10**9


def span(
    name: str, start_ms: float, end_ms: float, parent: str = "", *, id_: str = "", **more: Any
) -> Span:
    start, end = START + int(start_ms * MS), START + int(end_ms * MS)
    kind: Mapping[str, str] = more.pop("attributes", {"rag.kind": more.pop("kind", "")})
    return Span(TRACE, id_ or name, parent, name, start, end, attributes=kind, **more)


def steps(*spans: Span) -> list[tuple[str, float]]:
    """The critical path as names and milliseconds."""
    return [(p.node.name, p.duration_ns / MS) for p in critical_path(make_tree(list(spans)).root)]


def otlp(*spans: Mapping[str, Any]) -> str:
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]})


def raw(name: str = "llm", **more: Any) -> dict[str, Any]:
    return {
        "traceId": TRACE,
        "spanId": "00f067aa0ba902b7",
        "name": name,
        "startTimeUnixNano": str(START),
        "endTimeUnixNano": str(START + MS),
        **more,
    }


# --- reading ---------------------------------------------------------------------------------


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


# --- the tree --------------------------------------------------------------------------------


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


# --- critical path, self time, gaps ----------------------------------------------------------


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


# --- choosing --------------------------------------------------------------------------------


def named(name: str, request: str, start: float, trace: str = TRACE, parent: str = "") -> Span:
    made = span(name, start, start + 5, parent, attributes={"triton.request.id": request})
    return replace(made, trace_id=trace)


def test_several_requests_need_a_choice() -> None:
    spans = [named("a", "one", 0), named("b", "two", 9, trace="f" * 32)]
    with pytest.raises(TraceError, match=rf"choose one by its id; it has {TRACE} \(request one\)"):
        select_request(spans)
    assert select_request(spans, "two") == ([spans[1]], "")
    assert select_request(spans, TRACE.upper()) == ([spans[0]], "")
    with pytest.raises(NoSuchTrace, match="no request or trace 'three' in it"):
        select_request(spans, "three")


def test_overlapping_traces_of_one_request_are_one() -> None:
    spans = [named("a", "one", 0), named("b", "one", 2, trace="f" * 32)]
    assert select_request(spans) == (spans, "")


def test_of_two_requests_with_one_id_the_newest_is_shown() -> None:
    spans = [named("b", "one", 9, trace="f" * 32), named("a", "one", 0)]
    assert select_request(spans, "one") == (
        [spans[0]],
        "2 requests have this id: this is the newest",
    )


def test_one_request_of_an_applications_trace() -> None:
    application, one, two = span("page", 0, 20), named("a", "1", 0), named("b", "2", 9)
    inner = span("decode", 1, 2, "a")
    spans = [application, replace(one, parent_id="page"), replace(two, parent_id="page"), inner]
    assert select_request(spans, "1")[0] == [spans[1], inner]
    assert select_request(spans, TRACE)[0] == spans


# --- real traces -----------------------------------------------------------------------------


def real(name: str) -> list[Span]:
    return read_spans((TRACES / name).read_text())


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


# --- text, drawing, JSON ---------------------------------------------------------------------

FAILED = [
    span("rag", 0, 100, attributes={"triton.request.id": "mine"}),
    span("queue", 0, 25, "rag", kind="queue"),
    span("llm", 50, 100, "rag", has_failed=True, attributes={"error.type": "cancelled"}),
]


def test_text() -> None:
    shown = render(analyse(FAILED), 80)
    assert shown.splitlines()[2].startswith("total 100 ms = queue 25.0 ms (25%)")
    assert "failed: rag › llm, cancelled, 100 ms after the request began" in shown
    assert "50.0 ms  50%  rag › llm" in shown
    assert "25.0 ms  25%  rag itself" in shown
    queue, llm = (
        line for line in shown.splitlines() if line.strip("*! ")[:5] in ("queue", "llm  ")
    )
    assert llm.index("▒") - queue.index("░") == pytest.approx(26, abs=2)  # half of 52 characters
    assert llm.startswith("!")


def test_text_fits_the_width() -> None:
    for width in (60, 80, 200):
        lines = render(analyse(real("rag_cancellable.json")), width).splitlines()
        flame = [line for line in lines if "━" in line and "steps inside" not in line]
        assert max(map(len, flame)) <= width


def test_text_for_a_terminal_without_unicode() -> None:
    shown = render(analyse([*FAILED, span("größe", 60, 70, "llm")]), 80)
    assert encodable(shown, "utf-8") == shown
    assert encodable(shown, "ascii").isascii()
    assert "....." in encodable(shown, "ascii")
    assert "llm > gr??e" in encodable(shown, "ascii")


def test_names_do_not_steer_terminals() -> None:
    found = analyse([span('<b>\x1b[31m\x9b1m"&\udcff', 0, 1)])
    assert '<b>[31m1m"&' in render(found, 80)
    event = trace_events(found)["traceEvents"][1]
    assert event["name"] == '<b>[31m1m"&'


def test_json_object() -> None:
    found = as_object(analyse(FAILED))
    assert (found["request_id"], found["total_ms"], found["queue_ms"]) == ("mine", 100, 25)
    assert found["failed"] == [{"path": ["rag", "llm"], "error": "cancelled"}]
    assert [child["name"] for child in found["spans"]["children"]] == ["queue", "llm"]
    json.dumps(found)


# --- trace events ----------------------------------------------------------------------------


def assert_nested(events: list[dict[str, Any]]) -> None:
    """On each thread every event is inside another or beside it: viewers need that."""
    for thread in {event["tid"] for event in events}:
        open_ends: list[float] = []
        own = [event for event in events if event["tid"] == thread and event["ph"] == "X"]
        for event in sorted(own, key=lambda event: (event["ts"], -event["dur"])):
            while open_ends and open_ends[-1] <= event["ts"]:
                open_ends.pop()
            end = event["ts"] + event["dur"]
            assert not open_ends or end <= open_ends[-1] + 1e-9
            open_ends.append(end)


@pytest.mark.parametrize("name", ["rag_cancellable.json", "rag-with-tritons-own.json"])
def test_trace_events_of_real_requests(name: str) -> None:
    found = analyse(real(name))
    written = json.loads(json.dumps(trace_events(found)))
    process, *events = written["traceEvents"]
    assert (process["ph"], process["name"]) == ("M", "process_name")
    assert all(event["ph"] == "X" and event["pid"] == 1 for event in events)
    assert sorted(event["name"] for event in events) == sorted(
        node.name for node, _ in found.root.walk()
    )
    assert (events[0]["ts"], events[0]["dur"]) == (0, found.root.duration_ns / 1e3)
    (decode,) = (event for event in events if event["name"] == "decode")
    assert decode["cat"] == "compute"
    assert_nested(events)


def test_a_step_is_on_its_parents_thread_and_steps_beside_it_on_another() -> None:
    spans = [span("a", 0, 10), span("b", 0, 6, "a"), span("b1", 1, 2, "b"), span("c", 1, 5, "a")]
    spans += [span("c1", 2, 3, "c"), span("d", 6, 10, "a")]
    events = trace_events(analyse(spans))["traceEvents"][1:]
    assert {event["name"]: event["tid"] for event in events} == {
        "a": 1, "b": 1, "b1": 1, "c": 2, "c1": 2, "d": 1
    }  # fmt: skip


def test_a_failed_event_has_its_error_in_its_name() -> None:
    events = trace_events(analyse(FAILED))["traceEvents"]
    assert [event["name"] for event in events[1:]] == ["rag", "queue", "llm (cancelled)"]


# --- the command -----------------------------------------------------------------------------


def show(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["show", *arguments])


def test_a_file(tmp_path: Path) -> None:
    output = tmp_path / "request.trace.json"
    file = str(TRACES / "rag_cancellable.json")
    done = show(file, "--output", str(output))
    assert done.exit_code == 0
    assert "critical path" in done.stdout
    assert str(output) in done.stderr
    assert json.loads(output.read_text())["traceEvents"]
    assert json.loads(show(file, "--json").stdout)["spans"]["name"] == "rag_cancellable"


def test_json_has_no_control_characters(tmp_path: Path) -> None:
    file = tmp_path / "trace.json"
    file.write_text(otlp(raw("\x1b[31m\x9b\udcff")))
    printed = show(str(file), "--json").stdout
    assert not set(printed) & {"\x1b", "\x9b"}
    assert json.loads(printed)["spans"]["name"] == "\x1b[31m\x9b\udcff"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        (b"\xff", "not UTF-8"),
        (b'{"resourceSpans": []}', "the trace has no spans"),
        (b"{}", "no OTLP"),
    ],
)
def test_unreadable_files_exit_with_2(tmp_path: Path, content: bytes | None, message: str) -> None:
    file = tmp_path / "trace.json"
    if content is not None:
        file.write_bytes(content)
    done = show(str(file))
    assert done.exit_code == 2
    assert str(file) in done.stderr
    assert message in done.stderr


def test_an_output_that_cannot_be_written_exits_with_2(tmp_path: Path) -> None:
    output = tmp_path / "no" / "request.trace.json"
    done = show(str(TRACES / "rag_cancellable.json"), "--output", str(output))
    assert done.exit_code == 2
    assert str(output) in done.stderr


def test_an_id_is_found_in_the_collectors_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    content = [
        (TRACES / name).read_text()
        for name in ("rag-with-tritons-own.json", "rag_cancellable.json")
    ]
    file.write_text("\n".join(json.dumps(json.loads(each)) for each in content))
    done = show("rag-1", "--file", str(file))
    assert done.stdout.startswith("request rag-1")
    named = CliRunner().invoke(main, ["show", "rag-1"], env={"TRITON_TRACES_FILE": str(file)})
    assert named.stdout == done.stdout


def test_an_unknown_id_exits_with_1(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    missing = show("nobody", "--file", str(file))
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "no trace of 'nobody'" in missing.stderr
    assert "triton-traces collect" in missing.stderr
    file.touch()
    assert show("nobody", "--file", str(file)).exit_code == 1
    file.write_text(otlp(raw()))
    assert show("nobody", "--file", str(file)).exit_code == 1
