"""What is shown of a request: text, and events for trace viewers."""

import json

import pytest
from made_spans import FAILED, assert_nested, real, span
from triton_traces.findings import analyse
from triton_traces.text import encodable, render
from triton_traces.trace_events import trace_events


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
