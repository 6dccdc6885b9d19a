"""A request's trace from the client through Triton and our models to its flame graph."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from triton_rag import Client, InvalidRequest
from triton_traces.choice import one_request
from triton_traces.command import main
from triton_traces.findings import Findings, explain
from triton_traces.spans import Span, read_spans
from triton_traces.tree import Kind

from builders.spec import load_sku
from operations.monitoring.trace_collector import TraceCollector
from operations.ports import free_ports
from operations.server import TritonServer

QUESTION = "How tall is the tower?"
DOCUMENTS = ["The tower is 30 m tall.", "Bread is baked in ovens."]
STAGES = ["passage_splitter", "tokenizer", "embedder", "passage_selector", "pair_tokenizer"]
STAGES += ["reranker", "source_ranker", "prompt_builder", "llm"]
EXPORT_DELAY_MS = 100
WAIT_S = 20.0


@dataclass(frozen=True)
class Traced:
    """A server whose traces go to the collector, and a client of it."""

    client: Client
    collector: TraceCollector

    def findings(self, wanted: str, *spans: str) -> Findings:
        """Of a request, once spans of these names are there and nothing new comes any more."""
        deadline, seen = time.monotonic() + WAIT_S, -1
        while time.monotonic() < deadline:
            found = self._spans(wanted)
            if len(found) == seen and set(spans) <= {span.name for span in found}:
                return explain(found)
            seen = len(found)
            time.sleep(5 * EXPORT_DELAY_MS / 1e3)
        raise AssertionError(f"{wanted}: no trace with {spans}")

    def _spans(self, wanted: str) -> list[Span]:
        url = f"{self.collector.url}/traces/{wanted}"
        try:
            with urllib.request.urlopen(url) as answer:
                return one_request(read_spans(answer.read().decode()), wanted)[0]
        except urllib.error.HTTPError:  # nothing of it has come yet
            return []


@pytest.fixture(scope="module", params=["our models", "and Triton"])
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    log = tmp_path_factory.mktemp("traced") / "tritonserver.log"
    with TraceCollector() as collector, pytest.MonkeyPatch.context() as environment:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        environment.setenv("OTEL_BSP_SCHEDULE_DELAY", str(EXPORT_DELAY_MS))
        options = tritons_own(collector.url) if request.param == "and Triton" else ()
        with (
            TritonServer(load_sku("cpu"), free_ports(), log, options=options) as server,
            Client(f"127.0.0.1:{server.ports.grpc}") as client,
        ):
            yield Traced(client, collector)


def tritons_own(url: str) -> tuple[str, ...]:
    return (
        "--trace-config=mode=opentelemetry",
        "--trace-config=level=TIMESTAMPS",
        "--trace-config=rate=1",
        f"--trace-config=opentelemetry,url={url}/v1/traces",
        f"--trace-config=opentelemetry,bsp_schedule_delay={EXPORT_DELAY_MS}",
    )


def names(findings: Findings) -> list[str]:
    return [node.name for node, _ in findings.root.walk()]


@pytest.mark.parametrize("model", ["rag_cancellable", "rag"])
def test_one_trace_from_the_client_to_the_stage(traced: Traced, model: str) -> None:
    answer = traced.client.ask(QUESTION, DOCUMENTS, model=model)
    found = traced.findings(answer.request_id, *STAGES, "decode")
    assert found.tree.trace_ids == (answer.trace_id,)
    assert {"tokenize", "queue", "prefill", "decode"} <= set(names(found))
    path = [step.path[-1] for step in found.steps]
    assert path.index("prefill") < path.index("decode")
    assert 0 < found.queue_ns < found.compute_ns < found.root.duration_ns


def test_the_step_that_failed_is_named(traced: Traced) -> None:
    with pytest.raises(InvalidRequest) as raised:
        traced.client.ask(QUESTION, [" "])
    found = traced.findings(raised.value.request_id, "passage_splitter")
    (failed,) = found.failed
    assert failed.path[-1] == "passage_splitter"
    assert failed.node.error == "invalid"


def test_no_text_of_the_request_is_in_its_trace(traced: Traced) -> None:
    with pytest.raises(InvalidRequest):
        traced.client.ask("sesame", ["opens"], temperature=-1.0, request_id="secret")
    traced.client.ask("sesame", ["opens"], request_id="secret")
    traced.findings("secret", "decode")
    with urllib.request.urlopen(f"{traced.collector.url}/traces/secret") as answer:
        content = answer.read().decode().lower()
    assert "sesame" not in content
    assert "opens" not in content


def test_the_command_looks_a_request_up(traced: Traced, capsys: pytest.CaptureFixture[str]) -> None:
    traced.client.embed(["a"], request_id="look me up")
    deadline = time.monotonic() + WAIT_S
    arguments = ["look me up", "--url", traced.collector.url, "--json"]
    while main(arguments) != 0 and time.monotonic() < deadline:
        time.sleep(EXPORT_DELAY_MS / 1e3)
    assert json.loads(capsys.readouterr().out)["request_id"] == "look me up"


def test_tritons_own_mode_splits_waiting_from_work(traced: Traced) -> None:
    traced.client.retrieve(QUESTION, DOCUMENTS, request_id="split")
    found = traced.findings("split", "reranker")
    queues = [node for node, _ in found.root.walk() if node.kind is Kind.QUEUE]
    assert bool(queues) == ("InferRequest" in names(found))
