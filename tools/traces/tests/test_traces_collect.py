"""`triton-traces collect`: bodies of exports, the receiver over HTTP, its file."""

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData
from triton_traces.collector import JSON, MAX_BODY_BYTES, PROTOBUF, BadExport, Collector, to_line
from triton_traces.command import main
from triton_traces.spans import read_spans

TRACES = Path(__file__).parent / "traces"


def export(request_id: str = "mine", spans: int = 1) -> TracesData:
    data = TracesData()
    scope = data.resource_spans.add().scope_spans.add()
    for number in range(spans):
        span = scope.spans.add(
            trace_id=(0xABCDEF).to_bytes(16, "big"),
            span_id=(number + 1).to_bytes(8, "big"),
            parent_span_id=number.to_bytes(8, "big") if number else b"",
            name=f"step {number}",
            start_time_unix_nano=1_000 + number,
            end_time_unix_nano=1_001_000,
        )
        span.attributes.add(key="triton.request.id").value.string_value = request_id
    return data


# --- bodies ----------------------------------------------------------------------------------


def test_protobuf_becomes_otlp_json() -> None:
    data = export(spans=2)
    scope = data.resource_spans[0].scope_spans[0]
    scope.spans[0].links.add(trace_id=b"\xff" * 16, span_id=b"\xee" * 8)
    scope.spans[1].status.code = 2
    line = to_line(data.SerializeToString(), PROTOBUF, "")
    raw, failed = json.loads(line)["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert raw["traceId"] == f"{0xABCDEF:032x}"
    assert failed["parentSpanId"] == f"{1:016x}"
    assert raw["links"] == [{"traceId": "ff" * 16, "spanId": "ee" * 8}]
    assert failed["status"] == {"code": 2}
    assert [(span.request_id, span.has_failed) for span in read_spans(line)] == [
        ("mine", False),
        ("mine", True),
    ]


def test_what_triton_sends_stays_as_it_is_on_one_line() -> None:
    body = (TRACES / "tritons-own-export.json").read_bytes()
    line = to_line(body, "application/json; charset=utf-8", "")
    assert "\n" not in line
    assert read_spans(line) == read_spans(body.decode())


@pytest.mark.parametrize(("body", "kind"), [(b"", PROTOBUF), (b"{}", JSON)])
def test_an_empty_export_is_no_line(body: bytes, kind: str) -> None:
    assert to_line(body, kind, "") == ""


@pytest.mark.parametrize(
    ("body", "kind", "encoding", "message"),
    [
        (b"x", "text/plain", "", "Content-Type text/plain; application/x-protobuf or"),
        (b"x", "", "", "Content-Type missing"),
        (b"x", JSON, "gzip", "Content-Encoding gzip; none"),
        (b"\xff\xff", PROTOBUF, "", "no OTLP"),
        (b"{", JSON, "", "no OTLP"),
        (b"\xff", JSON, "", "no OTLP"),
        (b"[1]", JSON, "", "'resourceSpans' is needed"),
        (b'{"resourceSpans": 7}', JSON, "", "can't be read"),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": ["x"]}]}]}', JSON, "", "can't be read"),
        (b"[" * 100_000, JSON, "", "no OTLP"),
    ],
)
def test_bad_bodies_are_refused_with_a_reason(
    body: bytes, kind: str, encoding: str, message: str
) -> None:
    with pytest.raises(BadExport, match=message):
        to_line(body, kind, encoding)


@given(st.binary(max_size=200), st.sampled_from([JSON, PROTOBUF]))
def test_any_bytes_are_taken_or_refused(body: bytes, kind: str) -> None:
    try:
        line = to_line(body, kind, "")
    except BadExport:
        return
    assert not line or read_spans(line)


# --- over HTTP -------------------------------------------------------------------------------


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    with Collector(0, tmp_path / "traces.jsonl") as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def send(
    collector: Collector, body: bytes, path: str = "/v1/traces", kind: str = PROTOBUF
) -> tuple[int, bytes, str]:
    connection = http.client.HTTPConnection("127.0.0.1", collector.server_port)
    connection.request("POST", path, body, {"Content-Type": kind})
    answer = connection.getresponse()
    found = answer.status, answer.read(), answer.headers["Content-Type"]
    connection.close()
    return found


def test_exports_are_appended_and_answered_in_their_format(
    collector: Collector, tmp_path: Path
) -> None:
    triton = (TRACES / "tritons-own-export.json").read_bytes()
    assert send(collector, export().SerializeToString()) == (200, b"", PROTOBUF)
    assert send(collector, triton, kind=JSON) == (200, b"{}", JSON)
    lines = (tmp_path / "traces.jsonl").read_text().splitlines()
    assert [len(read_spans(line)) for line in lines] == [1, 40]
    shown = CliRunner().invoke(main, ["show", "mine", "--file", str(tmp_path / "traces.jsonl")])
    assert shown.stdout.startswith("request mine")


def test_what_is_refused_is_not_in_the_file(collector: Collector, tmp_path: Path) -> None:
    status, body, _ = send(collector, b"{", kind=JSON)
    assert status == 400
    assert "no OTLP" in json.loads(body)["message"]
    assert send(collector, b"", path="/v1/metrics")[0] == 404
    assert (tmp_path / "traces.jsonl").read_text() == ""


def test_a_body_needs_a_length_that_is_possible(collector: Collector) -> None:
    for header, status in ((("X", "y"), 411), (("Content-Length", str(MAX_BODY_BYTES + 1)), 413)):
        connection = http.client.HTTPConnection("127.0.0.1", collector.server_port)
        connection.putrequest("POST", "/v1/traces")
        connection.putheader(*header)
        connection.endheaders()
        assert connection.getresponse().status == status
        connection.close()


def test_a_taken_port_and_an_impossible_file_exit_with_1(
    collector: Collector, tmp_path: Path
) -> None:
    port, file = str(collector.server_port), str(tmp_path / "no" / "traces.jsonl")
    taken = CliRunner().invoke(main, ["collect", "--port", port, "--file", str(tmp_path / "other")])
    assert taken.exit_code == 1
    assert f"127.0.0.1:{port}" in taken.stderr
    impossible = CliRunner().invoke(main, ["collect", "--port", "0", "--file", file])
    assert impossible.exit_code == 1
    assert file in impossible.stderr


def test_it_runs_until_ctrl_c(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "triton_traces", "collect", "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    # A shell's background job ignores Ctrl-C, and its children would inherit that.
    own = signal.signal(signal.SIGINT, signal.SIG_DFL)
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment
    )
    signal.signal(signal.SIGINT, own)
    assert running.stdout is not None
    assert running.stdout.readline().startswith("OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:")
    running.send_signal(signal.SIGINT)
    assert running.wait(timeout=60) == 0
    running.stdout.close()
    assert (tmp_path / "traces.jsonl").exists()
