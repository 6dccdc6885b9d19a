"""The trace collector's core: bodies, the store, and what it answers; no sockets."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from triton_traces.spans import read_spans

from operations.monitoring.otlp import JSON, MAX_BODY_BYTES, PROTOBUF, BadExport, decode, to_json
from operations.monitoring.trace_collector import Reply, handle
from operations.monitoring.trace_store import TraceStore

TRACES = Path(__file__).parent / "traces"


def export(
    trace: int = 1, spans: int = 1, request_id: str = "", *, start_ns: int = 1_000, code: int = 0
) -> TracesData:
    data = TracesData()
    resource = data.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "triton-rag"
    scope = resource.scope_spans.add()
    scope.scope.name = "triton_rag"
    for number in range(spans):
        span = scope.spans.add(
            trace_id=trace.to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=number.to_bytes(8, "big") if number else b"",
            name=f"step {number}",
            start_time_unix_nano=start_ns + number,
            end_time_unix_nano=start_ns + 1_000_000,
        )
        span.status.code = code
        if request_id:
            span.attributes.add(key="triton.request.id").value.string_value = request_id
    return data


def post(store: TraceStore, body: bytes, kind: str = PROTOBUF, encoding: str = "") -> Reply:
    headers = {"Content-Type": kind, "Content-Encoding": encoding}
    reply = handle(store, "POST", "/v1/traces", headers, body)
    assert reply is not None
    return reply


def get(store: TraceStore, path: str) -> tuple[int, Any]:
    reply = handle(store, "GET", path, {})
    assert reply is not None
    return reply.status, json.loads(reply.body)


# --- bodies ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [PROTOBUF, JSON, "application/json; charset=utf-8"])
@pytest.mark.parametrize("encoding", ["", "gzip", "GZIP"])
def test_both_encodings_are_the_same_trace(kind: str, encoding: str) -> None:
    data = export(spans=3, request_id="mine")
    body = data.SerializeToString() if kind == PROTOBUF else to_json(data)
    assert decode(gzip.compress(body) if encoding else body, kind, encoding) == data


def test_ids_are_hexadecimal_in_json_and_enums_are_numbers() -> None:
    data = export(trace=0xABCDEF, spans=2, code=2)
    data.resource_spans[0].scope_spans[0].spans[0].links.add(
        trace_id=b"\xff" * 16, span_id=b"\xee" * 8
    )
    first, second = json.loads(to_json(data))["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert first["traceId"] == f"{0xABCDEF:032x}"
    assert second["parentSpanId"] == f"{1:016x}"
    assert first["links"] == [{"traceId": "ff" * 16, "spanId": "ee" * 8}]
    assert first["status"] == {"code": 2}
    assert decode(to_json(data), JSON, "") == data


def test_what_triton_sends_is_understood() -> None:
    body = (TRACES / "tritons-own-export.json").read_bytes()
    again = to_json(decode(body, JSON, "")).decode()
    assert read_spans(again) == read_spans(body.decode())


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "message"),
    [
        (b"x", "text/plain", "", "Content-Type text/plain; application/x-protobuf or"),
        (b"x", "", "", "Content-Type missing"),
        (b"x", JSON, "br", "Content-Encoding br; gzip or none"),
        (b"x", JSON, "gzip", "no gzip"),
        (gzip.compress(b"{}")[:-9], JSON, "gzip", "ends too early"),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1)), JSON, "gzip", "bytes when unpacked"),
        (b"\xff\xff", PROTOBUF, "", "no protobuf"),
        (b"{", JSON, "", "no OTLP JSON"),
        (b"\xff", JSON, "", "no OTLP JSON"),
        (b"[]", JSON, "", "not where it belongs"),
        (b'{"resourceSpans": 7}', JSON, "", "not where it belongs"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]}', JSON, "", "not where"),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}',
            JSON,
            "",
            "no OTLP JSON: non-hexadecimal",
        ),
        (
            b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "x"}]}]}]}',
            JSON,
            "",
            "ids of 0 and 0 bytes",
        ),
        (b"[" * 100_000, JSON, "", "no OTLP JSON"),
    ],
)
def test_bad_bodies_are_refused_with_a_reason(
    body: bytes, kind: str, encoding: str, message: str
) -> None:
    with pytest.raises(BadExport, match=message):
        decode(body, kind, encoding)
    store = TraceStore()
    reply = post(store, body, kind, encoding)
    assert reply.status == 400
    assert "Traceback" not in reply.body.decode()
    assert store.summaries() == []


@given(st.binary(max_size=200), st.sampled_from([JSON, PROTOBUF]), st.sampled_from(["", "gzip"]))
def test_any_bytes_are_taken_or_refused(body: bytes, kind: str, encoding: str) -> None:
    assert post(TraceStore(), body, kind, encoding).status in (200, 400)


# --- the store -------------------------------------------------------------------------------


def test_a_trace_is_found_by_trace_and_by_request_id() -> None:
    store = TraceStore()
    store.add(export(trace=1, spans=2, request_id="one"))
    store.add(export(trace=2, request_id="two"))
    assert store.find("one") == store.find(f"{1:032X}") == export(1, 2, "one")
    assert store.find("three") is None


def test_exports_of_one_trace_are_joined() -> None:
    store = TraceStore()
    store.add(export(trace=1, request_id="one"))
    store.add(export(trace=1, spans=3))
    found = store.find("one")
    assert found is not None
    (resource,) = found.resource_spans
    assert len(resource.scope_spans[0].spans) == 4


def test_the_trace_that_was_added_to_least_recently_goes_first() -> None:
    store = TraceStore(max_traces=2)
    for trace in (1, 2, 1, 3):
        store.add(export(trace))
    assert {summary.trace_id for summary in store.summaries()} == {f"{1:032x}", f"{3:032x}"}


def test_spans_are_bounded() -> None:
    store = TraceStore(max_spans=10)
    for trace in range(1, 9):
        store.add(export(trace, spans=4))
        assert sum(summary.spans for summary in store.summaries()) <= 10
    assert len(store.summaries()) == 2


def test_a_trace_without_end_is_cut_and_the_sender_told() -> None:
    store = TraceStore(max_spans_of_a_trace=3)
    reply = post(store, to_json(export(spans=5)), JSON)
    assert json.loads(reply.body)["partialSuccess"]["rejectedSpans"] == "2"
    assert store.summaries()[0].spans == 3


# --- HTTP ------------------------------------------------------------------------------------


def test_exports_are_answered_in_kind() -> None:
    store, data = TraceStore(), export()
    assert post(store, data.SerializeToString()) == Reply(post(store, b"").status, b"", PROTOBUF)
    assert post(store, to_json(data), JSON).body == b"{}"


def test_the_list_is_newest_first() -> None:
    store = TraceStore()
    store.add(export(trace=1, spans=2, request_id="one", start_ns=1_000))
    store.add(export(trace=2, start_ns=5_000, code=2))
    status, found = get(store, "/traces")
    assert status == 200
    assert [each["trace_id"] for each in found["traces"]] == [f"{2:032x}", f"{1:032x}"]
    assert [each["status"] for each in found["traces"]] == ["error", "ok"]
    assert found["traces"][1] == {
        "trace_id": f"{1:032x}",
        "request_id": "one",
        "name": "step 0",
        "start_unix_ns": 1_000,
        "duration_ms": 1.0,
        "status": "ok",
        "spans": 2,
    }


def test_a_trace_is_one_otlp_document() -> None:
    store = TraceStore()
    store.add(export(request_id="a/b c"))
    reply = handle(store, "GET", "/traces/a%2Fb%20c?x=1", {})
    assert reply is not None
    assert [span.request_id for span in read_spans(reply.body.decode())] == ["a/b c"]


def test_what_is_not_there_and_not_possible() -> None:
    store = TraceStore()
    assert get(store, "/traces/nobody") == (
        404,
        {"message": "no trace of 'nobody'; /traces lists all"},
    )
    assert get(store, "/v1/traces")[0] == 405
    refused = handle(store, "DELETE", "/traces", {})
    assert refused is not None
    assert refused.status == 405
    assert handle(store, "GET", "/metrics", {}) is None
    assert handle(store, "GET", "/tracesx", {}) is None
