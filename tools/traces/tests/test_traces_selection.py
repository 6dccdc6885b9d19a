"""One request is chosen from many traces."""

from dataclasses import replace

import pytest
from made_spans import TRACE, span
from triton_traces.selection import select_request
from triton_traces.spans import NoSuchTrace, Span, TraceError


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
