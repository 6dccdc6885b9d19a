"""Traces of a real server, as a collector gets them: one trace a request, across all its models."""

import json
import threading
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest
import tritonclient.grpc as grpcclient
from triton_traces.collector import Collector
from triton_traces.spans import Span, read_spans

from builders.repository import REPOSITORY
from builders.spec import load_sku
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from operations.triton_process import STOP_TIMEOUT_S, TritonProcess
from tests.server.conftest import BOUND_S, Server, linked, tensor, text, until_killed

SECRET = "quetzalcoatlus"
"""A word of questions and documents that may be in no export."""


@dataclass(frozen=True)
class Exported:
    """What `triton-traces collect` has received."""

    url: str
    file: Path

    def spans(self, trace: str) -> list[Span]:
        """All of a trace so far."""
        text = self.file.read_text()
        return [span for span in read_spans(text) if span.trace_id == trace] if text else []

    def wait(self, trace: str, *names: str) -> list[Span]:
        """Until the trace has these spans, as many of a name as it is named.

        Each model's process exports its own, every 0.2 s here: one more is no sign of the others.
        """
        deadline = time.monotonic() + BOUND_S
        while True:
            spans = self.spans(trace)
            if Counter(names) <= Counter(span.name for span in spans):
                return spans
            assert time.monotonic() < deadline, f"only {[s.name for s in spans]}"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exported]:
    file = tmp_path_factory.mktemp("collected") / "traces.jsonl"
    with Collector(0, file) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield Exported(server.url, file)
        server.shutdown()


FORWARD = "--http-header-forward-pattern=(?i)^traceparent$"


def trace_to(collector: Exported, patch: pytest.MonkeyPatch) -> None:
    patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    patch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
    patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")


@pytest.fixture(scope="module")
def server(collector: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with pytest.MonkeyPatch.context() as patch:
        trace_to(collector, patch)
        yield from _serve(tmp_path_factory.mktemp("traced"), FORWARD)


def _serve(folder: Path, *options: str, repository: Path = REPOSITORY) -> Iterator[Server]:
    log = folder / "tritonserver.log"
    server = CpuServer(load_sku("cpu"), free_ports(), log, repository, options)
    yield from _running(until_killed(server))


def _running(serving: AbstractContextManager[TritonProcess]) -> Iterator[Server]:
    with serving as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        assert running.log is not None
        yield Server(running.ports, client, running.log, running.pid)
        client.close()


class Trace:
    """A trace that a client begins."""

    def __init__(self) -> None:
        self.id, self.client_span = uuid.uuid4().hex, uuid.uuid4().hex[:16]
        self.traceparent = f"00-{self.id}-{self.client_span}-01"

    @property
    def parameters(self) -> dict[str, str]:
        return {"traceparent": self.traceparent}


QUESTION = (text("question", f"what is {SECRET}"),
            text("documents", f"{SECRET} flew.", "Birds fly."))  # fmt: skip


def by_name(spans: list[Span]) -> dict[str, list[Span]]:
    found: dict[str, list[Span]] = {}
    for span in spans:
        found.setdefault(span.name, []).append(span)
    return found


def parent(span: Span, spans: list[Span]) -> Span:
    (found,) = [other for other in spans if other.span_id == span.parent_id]
    return found


def assert_nested(spans: list[Span], trace: Trace) -> None:
    for span in spans:
        assert span.start_ns <= span.end_ns
        if span.parent_id != trace.client_span:
            outer = parent(span, spans)
            assert outer.start_ns <= span.start_ns, f"{span.name} begins before {outer.name}"
            assert span.end_ns <= outer.end_ns, f"{span.name} ends behind {outer.name}"


def test_a_stream_through_the_graph_runner_is_one_trace_down_to_decode(server, collector):
    trace = Trace()
    found = server.stream(
        "rag_cancellable",
        *QUESTION,
        tensor("max_tokens", [12], "INT32"),
        tensor("stream", [True], "BOOL"),
        request_id="ask-1",
        parameters=trace.parameters,
    )
    assert found.error is None
    # Question, passages, and the sentences of the candidates.
    called = (*["tokenizer"] * 3, "embedder", "reranker", "prompt_builder", "llm")
    spans = collector.wait(trace.id, *called, "decode", "rag_cancellable")
    names = by_name(spans)
    (top,) = names["rag_cancellable"]
    assert top.parent_id == trace.client_span
    assert top.request_id == "ask-1"
    service = {"key": "service.name", "value": {"stringValue": "triton-rag"}}
    assert json.dumps(service) in collector.file.read_text()
    assert "rag.kind" not in top.attributes
    (llm,) = names["llm"]
    assert parent(llm, spans).name == "call llm"
    assert parent(parent(llm, spans), spans) is top
    for model in set(called) - {"llm"}:
        for span in names[model]:
            assert parent(span, spans).name == f"call {model}"
            assert span.attributes["rag.kind"] == "compute"
    assert len(names["call tokenizer"]) == len(names["tokenizer"]) == 3
    for part, kind in {"tokenize": "compute", "queue": "queue", "prefill": "compute",
                       "decode": "compute"}.items():  # fmt: skip
        (span,) = [s for s in names[part] if s.parent_id == llm.span_id]
        assert span.attributes["rag.kind"] == kind
    assert [s for s in names["queue"] if s.parent_id == top.span_id], "the runner's own queue"
    assert_nested(spans, trace)
    assert not any(span.has_failed for span in spans)


def test_generations_are_described_by_the_conventions_for_generative_ai(server, collector):
    trace = Trace()
    found = server.stream(
        "llm",
        text("messages", json.dumps([{"role": "user", "content": f"what is {SECRET}"}])),
        tensor("max_tokens", [7], "INT32"),
        tensor("temperature", [0.5], "FP32"),
        parameters=trace.parameters,
    )
    (llm,) = by_name(collector.wait(trace.id, "llm"))["llm"]
    told = llm.attributes
    assert told["gen_ai.operation.name"] == "chat"
    assert told["gen_ai.request.model"] == told["triton.model.name"] == "llm"
    assert told["triton.model.version"] == "1"
    assert (told["gen_ai.request.max_tokens"], told["gen_ai.request.temperature"]) == ("7", "0.5")
    assert told["gen_ai.usage.output_tokens"] == str(found.tokens)
    (prompt,) = found.values("num_input_tokens")
    assert told["gen_ai.usage.input_tokens"] == str(prompt.reshape(-1)[0])
    assert told["gen_ai.response.finish_reasons"] == str(
        {"values": [{"stringValue": found.finish_reason}]}
    )
    first_s = float(told["gen_ai.server.time_to_first_token"])
    assert 0 < first_s <= (llm.end_ns - llm.start_ns) / 1e9


def test_the_steps_of_a_plain_ensemble_get_the_traceparent_too(server, collector):
    trace = Trace()
    assert server.stream("rag", *QUESTION, parameters=trace.parameters).error is None
    spans = collector.wait(trace.id, "llm", "tokenizer", "embedder", "reranker", "source_ranker")
    models = [span for span in spans if "triton.model.version" in span.attributes]
    assert {span.parent_id for span in models} == {trace.client_span}
    assert_nested(spans, trace)


def embed_over_http(server: Server, trace: Trace) -> None:
    given = {"name": "input_text", "shape": [1], "datatype": "BYTES", "data": [SECRET]}
    body = json.dumps({"inputs": [given]})
    request = urllib.request.Request(
        f"http://{server.http_url}/v2/models/embed/infer",
        body.encode(),
        {"traceparent": trace.traceparent},
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200


def test_a_header_of_http_is_honoured(server, collector):
    trace = Trace()
    embed_over_http(server, trace)
    spans = collector.wait(trace.id, "tokenizer", "embedder")
    assert all(span.parent_id == trace.client_span for span in spans)


def test_an_error_is_told_by_its_class_only(server, collector):
    trace = Trace()
    asked = text("text_input", SECRET), tensor("max_tokens", [10**6], "INT32")
    assert server.stream("llm", *asked, parameters=trace.parameters).error
    (llm,) = collector.wait(trace.id, "llm")
    assert llm.has_failed
    assert llm.attributes["error.type"] == "invalid"


def test_what_clients_did_not_sample_is_not_exported(server, collector):
    trace, later = Trace(), Trace()
    unsampled = {"traceparent": trace.traceparent[:-2] + "00"}
    assert server.stream("rag_cancellable", *QUESTION, parameters=unsampled).error is None
    assert server.stream("rag_cancellable", *QUESTION, parameters=later.parameters).error is None
    collector.wait(later.id, "rag_cancellable")
    assert collector.spans(trace.id) == []


@pytest.mark.parametrize("value", ["", "00-zz", f"ignore {SECRET}"])
def test_a_malformed_traceparent_harms_nothing(server, value):
    asked = text("text_input", SECRET), tensor("max_tokens", [4], "INT32")
    assert server.stream("llm", *asked, parameters={"traceparent": value}).error is None


def test_no_text_leaves_with_the_spans(server, collector):
    """Behind the others: whatever they sent and got is in the bodies, if it is anywhere."""
    lengths = [tensor(name, [60], "INT32") for name in ("max_tokens", "min_tokens")]
    trace = Trace()
    asked = text("text_input", SECRET), *lengths
    answer = server.stream("llm", *asked, parameters=trace.parameters)
    collector.wait(trace.id, "llm", "decode")
    exported = collector.file.read_text()
    assert len(exported) > 1000
    assert SECRET not in exported
    assert len(answer.text) > 20
    assert json.dumps(answer.text[:20]).strip('"') not in exported


def test_a_collector_that_is_down_harms_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    asked = text("text_input", SECRET), tensor("max_tokens", [4], "INT32")
    repository = linked(tmp_path / "models", "tokenizer", "llm")
    serving = CpuServer(load_sku("cpu"), free_ports(), tmp_path / "tritonserver.log", repository)
    serving.exit_timeout_s = 2 * STOP_TIMEOUT_S  # it waits for its models until it is killed
    for server in _running(serving):
        for _ in range(20):
            assert server.stream("llm", *asked).error is None
        server.infer("tokenizer", text("input_text", SECRET))
        stopping_s = time.monotonic()
    assert time.monotonic() - stopping_s < STOP_TIMEOUT_S, "the last export is given up in time"
    assert SECRET not in (tmp_path / "tritonserver.log").read_text()


def tritons_traces(collector: Exported) -> tuple[str, ...]:
    """Options of tritonserver for its own traces."""
    url = f"opentelemetry,url={collector.url}/triton"
    settings = ("mode=opentelemetry", "rate=1", "level=TIMESTAMPS", url)
    return tuple(f"--trace-config={each}" for each in settings)


def test_beside_tritons_own_traces_ours_belong_under_them(collector, tmp_path, monkeypatch):
    """Unless Triton began a trace of its own, as it does for gRPC streams without the header."""
    trace_to(collector, monkeypatch)
    plain, streamed = Trace(), Trace()
    repository = linked(tmp_path / "models", "tokenizer", "embedder", "embed", "llm")
    options = (FORWARD, *tritons_traces(collector))
    for server in _serve(tmp_path, *options, repository=repository):
        embed_over_http(server, plain)
        asked = text("text_input", SECRET), tensor("max_tokens", [4], "INT32")
        assert server.stream("llm", *asked, parameters=streamed.parameters).error is None
        (tokenizer,) = by_name(collector.wait(plain.id, "tokenizer"))["tokenizer"]
        assert tokenizer.parent_id not in ("", plain.client_span), "a span of Triton lies between"
        (llm,) = by_name(collector.wait(streamed.id, "llm"))["llm"]
        assert llm.parent_id == streamed.client_span


def test_a_header_of_grpc_that_triton_reads_past_its_end_loses_no_span(
    collector, tmp_path, monkeypatch
):
    """Triton 2.51 reads headers of gRPC to the next NUL (`GrpcServerCarrier::Get`): one in twenty
    is then no traceparent to it. Ours stay in the client's trace."""
    trace_to(collector, monkeypatch)
    traces = [Trace() for _ in range(60)]
    repository = linked(tmp_path / "models", "tokenizer")
    for server in _serve(tmp_path, *tritons_traces(collector), repository=repository):
        for trace in traces:
            given = [text("input_text", SECRET)]
            told = trace.parameters
            server.client.infer("tokenizer", given, headers=told, parameters=told)
        found = [(trace, collector.wait(trace.id, "tokenizer")[0]) for trace in traces]
    below_tritons = [trace for trace, span in found if span.parent_id != trace.client_span]
    assert len(below_tritons) > len(traces) / 2
