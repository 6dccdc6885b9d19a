"""Traces: parents and content of spans; no fault of a trace harms a request."""

import json
import os
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ensembles.contracts import LLM, ModelContract
from ensembles.tensors import DType, tensor
from python_backends.errors import Cancelled, RequestError
from python_backends.stage import Stage
from python_backends.triton import tracing
from python_backends.triton.adapter import DecoupledModel, PlainModel
from python_backends.triton.telemetry import RequestRecord, Telemetry
from python_backends.triton.tracing import ENDPOINTS, Tracer, make_tracer, parent_of
from tests.fakes.serving import WAIT_S, FakeMeter, strings
from tests.fakes.triton_stub import InferenceRequest, Tensor

TRACE, OTHER = "0af7651916cd43dd8448eb211c80319c", "11111111111111111111111111111111"
SENT = f"00-{TRACE}-b7ad6b7169203331-01"
TRITONS = f"00-{TRACE}-00f067aa0ba902b7-01"


def asked(sent=None, tritons=None, name="traceparent", **inputs) -> InferenceRequest:
    context = json.dumps({"traceparent": tritons}) if tritons else None
    parameters = {name: sent} if sent is not None else None
    given = [Tensor(key, value) for key, value in inputs.items()]
    return InferenceRequest(
        given, request_id="r-1", parameters=parameters, trace_context=context
    )  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "parent"),
    [
        (asked(), None),
        (asked(SENT), SENT),
        (asked(SENT, name="Traceparent"), SENT),
        (asked(SENT, TRITONS), TRITONS),
        (asked(None, TRITONS), TRITONS),
        (asked(SENT, TRITONS.replace(TRACE, OTHER)), SENT),
        (asked("nonsense", TRITONS), TRITONS),
        (asked("nonsense"), None),
        (asked(7), None),
        (asked(SENT + "x"), None),
        (asked(SENT, "nonsense"), SENT),
    ],
)
def test_a_spans_parent_is_tritons_span_or_the_clients(request_, parent):
    assert parent_of(request_) == parent


class Traced:
    """A tracer over an exporter in memory."""

    def __init__(self) -> None:
        self.provider, self._exporter = (
            TracerProvider(shutdown_on_exit=False),
            InMemorySpanExporter(),
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = Tracer(self.provider, "mine", "3", is_leaf=False)

    def telemetry(self, is_leaf=False) -> Telemetry:
        if is_leaf:
            self.tracer = Tracer(self.provider, "mine", "3", is_leaf=True)
        return Telemetry(FakeMeter(), self.tracer)

    def spans(self):
        """All that came to an end; nothing may follow."""
        self.tracer.close()
        return self._exporter.get_finished_spans()


@pytest.fixture
def traced():
    return Traced()


def test_phases_and_calls_are_children_of_their_requests_span(traced):
    record = RequestRecord(traced.telemetry(), asked(SENT))
    at_s = record.arrival_s
    record.record_phase("queue", at_s, at_s + 0.001)
    record.record_phase("prefill", at_s + 0.001, at_s + 0.003)
    with record.model_call("embedder") as traceparent:
        pass
    record.set_attributes({"gen_ai.request.max_tokens": 5})
    record.finish("ok", time.perf_counter() + 1.0)
    queue, prefill, call, top = traced.spans()
    assert [s.name for s in (queue, prefill, call, top)] == [
        "queue", "prefill", "call embedder", "mine"
    ]  # fmt: skip
    assert top.parent.span_id == 0xB7AD6B7169203331
    assert {s.context.trace_id for s in (queue, prefill, call, top)} == {int(TRACE, 16)}
    assert {s.parent.span_id for s in (queue, prefill, call)} == {top.context.span_id}
    assert traceparent == f"00-{TRACE}-{call.context.span_id:016x}-01"
    assert queue.start_time == top.start_time
    assert queue.end_time - queue.start_time == pytest.approx(1e6, rel=0.01)
    assert call.end_time <= top.end_time
    assert [s.attributes.get("rag.kind") for s in (queue, prefill, call, top)] == [
        "queue", "compute", None, None
    ]  # fmt: skip
    assert dict(top.attributes) == {
        "triton.model.name": "mine",
        "triton.model.version": "3",
        "triton.request.id": "r-1",
        "gen_ai.request.max_tokens": 5,
    }


def test_spans_have_wall_clock_times(traced):
    before_ns = time.time_ns()
    record = RequestRecord(traced.telemetry(), asked())
    record.finish("ok", time.perf_counter())
    (span,) = traced.spans()
    assert before_ns - 1e6 < span.start_time <= span.end_time < time.time_ns() + 1e6


@pytest.mark.parametrize(
    ("error", "kind"),
    [(RequestError("my secret"), "invalid"), (Cancelled("x"), "cancelled"), (KeyError(), "failed")],
)
def test_an_error_is_recorded_by_its_class_without_its_message(traced, error, kind):
    record = RequestRecord(traced.telemetry(), asked())
    with pytest.raises(type(error)), record.model_call("llm"):
        raise error
    record.finish(kind, time.perf_counter())
    for span in traced.spans():
        assert (span.status.is_ok, span.status.description) == (False, None)
        assert span.attributes["error.type"] == kind
        assert span.events == ()
        assert "secret" not in span.to_json()


def test_a_stop_request_has_no_span(traced):
    RequestRecord(traced.telemetry(), asked()).finish(None, time.perf_counter())
    assert traced.spans() == ()


def test_a_trace_that_the_client_did_not_sample_stays_unsampled_in_calls(traced):
    record = RequestRecord(traced.telemetry(), asked(SENT[:-2] + "00"))
    with record.model_call("llm") as traceparent:
        pass
    record.finish("ok", time.perf_counter())
    assert traced.spans() == ()
    assert (traceparent[3:35], traceparent[-2:]) == (TRACE, "00")


UPPER = ModelContract(
    "upper", (tensor("text", DType.STRING, 1),), (tensor("loud", DType.STRING, 1),)
)


class Upper(Stage):
    contract = UPPER

    def answer(self, request):
        return {"loud": [request.text("text").upper()]}


def test_requests_of_one_batch_have_a_span_each_without_their_text(pb, traced):
    model = PlainModel(Upper(), traced.telemetry(is_leaf=True))
    good, bad = asked(SENT, text=strings("my secret")), asked()
    model.execute([good, bad])
    first, second = traced.spans()
    assert first.context.trace_id == int(TRACE, 16) != second.context.trace_id
    assert first.attributes["rag.kind"] == "compute"
    assert (first.status.is_ok, second.status.is_ok) == (True, False)
    assert "secret" not in first.to_json()


class BrokenSpan:
    """A span of the SDK that fails at everything but its ids."""

    def __init__(self, span):
        self.get_span_context = span.get_span_context

    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


def break_spans(tracer: Tracer, whole: int) -> None:
    """After `whole` spans, none can be started; those that were fail at everything else."""
    start_span, started = tracer.otel.start_span, []

    def start_or_fail(*args, **options):
        started.append(args)
        if len(started) > whole:
            raise RuntimeError("no more spans")
        return BrokenSpan(start_span(*args, **options))

    tracer.otel = SimpleNamespace(start_span=start_or_fail)


@pytest.mark.parametrize("whole", [0, 1])
def test_spans_that_fail_harm_no_request(pb, traced, caplog, whole):
    break_spans(traced.tracer, whole)
    model = PlainModel(Upper(), traced.telemetry())
    (response,) = model.execute([asked(text=strings("a"))])
    assert response.outputs()["loud"].tolist() == [b"A"]
    assert traced.spans() == ()
    assert ("a span is incomplete" if whole else "a request is not traced") in caplog.text


def test_a_call_that_cannot_be_traced_is_made(pb, traced, caplog):
    break_spans(traced.tracer, 1)

    class Steps:
        contract = LLM

        def start(self, stream):
            stream.record_phase("queue", 0.0, 1.0)
            stream.set_attributes({"a": 1})
            with stream.model_call("llm") as traceparent:
                assert traceparent is None
            stream.send({"text_output": ["a"]}, final=True)

    request = asked(text_input=strings("a"))
    DecoupledModel(Steps(), traced.telemetry()).execute([request])
    assert [r.has_error() for r, _ in request.sender.sent] == [False]
    assert "a call is not traced" in caplog.text


def test_a_request_whose_parameters_cannot_be_read_is_served_untraced(traced, caplog):
    request = asked()
    request.parameters = lambda: "{"
    record = RequestRecord(traced.telemetry(), request)
    with record.model_call("llm") as traceparent:
        assert traceparent is None
    record.finish("ok", time.perf_counter())
    assert traced.spans() == ()
    assert "not traced" in caplog.text


def test_a_slow_tracing_thread_loses_spans_and_keeps_memory_bounded(traced, monkeypatch):
    monkeypatch.setattr(tracing, "MAX_PENDING", 3)
    tracer, go_on = Tracer(traced.provider, "m", "1", is_leaf=True), threading.Event()
    tracer.later(lambda: go_on.wait(WAIT_S))
    for _ in range(100):
        tracer.start(asked(), time.perf_counter()).end("ok", time.perf_counter())
    go_on.set()
    tracer.close()
    assert 1 <= len(traced.spans()) <= 4


# --- on and off --------------------------------------------------------------------------------


def test_without_a_collector_named_the_sdk_is_not_even_imported():
    """In a fresh interpreter, because this one has it."""
    code = (
        "import sys, python_backends.triton.adapter\n"
        "from python_backends.triton.tracing import make_tracer\n"
        "print(type(make_tracer('m', '1', True)).__name__);"
        "assert not any(n.startswith('opentelemetry') for n in sys.modules)"
    )
    env = {name: value for name, value in os.environ.items() if name not in ENDPOINTS}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=env)
    assert found.stdout.strip() == "NoneType"


@pytest.mark.parametrize("name", ENDPOINTS)
def test_either_variable_turns_it_on_and_the_service_has_a_name(monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment=test")
    tracer = make_tracer("m", "1", is_leaf=True)
    assert isinstance(tracer, Tracer)
    told = tracer._provider.resource.attributes
    assert (told["service.name"], told["deployment.environment"]) == ("triton-rag", "test")
    tracer.close()


def test_the_environment_names_the_service(monkeypatch):
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "mine")
    tracer = make_tracer("m", "1", is_leaf=True)
    assert tracer._provider.resource.attributes["service.name"] == "mine"
    tracer.close()


def test_an_sdk_that_refuses_its_settings_means_no_traces(monkeypatch, caplog):
    monkeypatch.setenv(ENDPOINTS[0], "http://127.0.0.1:9")
    monkeypatch.setattr(tracing, "_provider", lambda: 1 / 0)
    assert make_tracer("m", "1", is_leaf=True) is None
    assert "no traces" in caplog.text


def test_a_hanging_last_export_does_not_delay_the_end(traced, monkeypatch):
    monkeypatch.setattr(tracing, "CLOSE_S", 0.01)
    go_on, ended = threading.Event(), threading.Event()
    monkeypatch.setattr(traced.provider, "shutdown", lambda: (go_on.wait(WAIT_S), ended.set()))
    traced.tracer.close()
    assert not ended.is_set()
    go_on.set()
    assert ended.wait(WAIT_S)
