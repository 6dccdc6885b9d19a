"""A request's trace from the client through Triton and our models to `triton-traces show`."""

import secrets
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from triton_rag import Client, InvalidRequest
from triton_traces.collector import Collector
from triton_traces.command import main
from triton_traces.findings import Findings, analyse
from triton_traces.selection import find_request
from triton_traces.spans import Span, TraceError
from triton_traces.tree import Kind

from builders.spec import load_sku
from operations.cpu_server import CpuServer
from operations.gateway_process import GatewayProcess
from operations.ports import free_ports
from operations.triton_process import trace_options
from tests.server.conftest import BOUND_S, until_killed

QUESTION = "How tall is the tower?"
DOCUMENTS = ["The tower is 30 m tall.", "Bread is baked in ovens."]
STAGES = ["passage_splitter", "tokenizer", "embedder", "passage_selector", "pair_tokenizer"]
STAGES += ["reranker", "source_ranker", "reader_tokenizer", "reader", "reader_ranker"]
STAGES += ["prompt_builder"]
LLM = ["llm", "tokenize", "queue", "prefill", "decode"]
EXPORT_DELAY_MS = "100"
TRIES = 5
"""Triton 2.51 puts 7 % of the requests by gRPC into traces of its own (docs/traces.md)."""


@dataclass(frozen=True)
class Traced:
    """A server whose traces go into the file, a client of it, and a gateway over it."""

    client: Client
    gateway: str
    file: Path
    has_tritons: bool

    @property
    def tritons(self) -> tuple[str, ...]:
        """Names of Triton's own spans. Some requests have none in their trace."""
        return ("InferRequest",) if self.has_tritons else ()

    def findings(self, wanted: str, *spans: str) -> Findings:
        """The findings of a request, once spans of these names are there."""
        deadline = time.monotonic() + BOUND_S
        while True:
            found = self._spans(wanted)
            if set(spans) <= (names := {span.name for span in found}):
                return analyse(found)
            assert time.monotonic() < deadline, f"{wanted}: only {sorted(names)}"
            time.sleep(0.05)

    def _spans(self, wanted: str) -> list[Span]:
        try:
            return find_request(wanted, self.file)[0]
        except TraceError:  # nothing of it is there yet
            return []


@pytest.fixture(scope="module", params=["our models", "and Triton"])
def traced(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    file, has_tritons = folder / "traces.jsonl", request.param == "and Triton"
    with Collector(0, file) as collector, pytest.MonkeyPatch.context() as environment:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        options, variables = trace_options(collector.url)
        for name, value in (variables | {"OTEL_BSP_SCHEDULE_DELAY": EXPORT_DELAY_MS}).items():
            environment.setenv(name, value)
        options += (f"--trace-config=opentelemetry,bsp_schedule_delay={EXPORT_DELAY_MS}",)
        used, log = options if has_tritons else (), folder / "tritonserver.log"
        with (
            until_killed(CpuServer(load_sku("cpu"), free_ports(), log, options=used)) as server,
            Client(f"127.0.0.1:{server.ports.grpc}") as client,
            GatewayProcess(server.ports, folder / "gateway.log", port=0) as gateway,
        ):
            yield Traced(client, gateway.url, file, has_tritons)
        collector.shutdown()


@pytest.mark.parametrize("model", ["rag_cancellable", "rag"])
def test_one_trace_from_the_client_to_the_stage(traced: Traced, model: str) -> None:
    for _ in range(TRIES if traced.has_tritons else 1):
        answer = traced.client.ask(QUESTION, DOCUMENTS, model=model)
        found = traced.findings(answer.request_id, *traced.tritons, *STAGES, *LLM)
        if found.tree.trace_ids == (answer.trace_id,):
            break
    assert found.tree.trace_ids == (answer.trace_id,)
    path = [step.node.name for step in found.steps]
    assert path.index("prefill") < path.index("decode")
    assert 0 < found.queue_ns < found.compute_ns < found.root.duration_ns


def test_the_gateway_s_part_is_above_the_models(traced: Traced) -> None:
    asked = {"question": QUESTION, "documents": DOCUMENTS, "stream": True, "max_tokens": 4}
    answer = httpx.post(f"{traced.gateway}/v1/rag", json=asked, timeout=BOUND_S)
    ours = ["gateway", "admission", "queue", "upstream", "first byte"]
    found = traced.findings(answer.headers["x-request-id"], *ours, *STAGES, *LLM)
    assert (found.root.name, len(found.tree.trace_ids)) == ("gateway", 1)
    assert [child.name for child in found.root.children] == ["admission", "queue", "upstream"]
    upstream = found.root.children[-1]
    assert {"first byte", "llm"} <= {node.name for node, _ in upstream.walk()}
    assert QUESTION not in traced.file.read_text()


def test_a_caller_s_trace_goes_on_through_every_kind_of_call(traced: Traced) -> None:
    tensor = {"name": "input_text", "datatype": "BYTES", "shape": [1], "data": ["a"]}
    rerank = {"model": "rerank", "query": "a", "documents": ["b"]}
    bodies: dict[str, tuple[dict[str, Any], str]] = {
        "/v1/embeddings": ({"model": "embed", "input": "a"}, "embedder"),
        "/v1/rerank": (rerank, "reranker"),
        "/v2/models/embed/infer": ({"inputs": [tensor]}, "embedder"),
    }
    for path, (body, model) in bodies.items():
        trace_id = secrets.token_hex(16)
        headers = {"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
        answer = httpx.post(f"{traced.gateway}{path}", json=body, headers=headers, timeout=BOUND_S)
        found = traced.findings(answer.headers["x-request-id"], "gateway", model)
        assert found.tree.trace_ids == (trace_id,), path


def test_the_step_that_failed_is_named(traced: Traced) -> None:
    with pytest.raises(InvalidRequest) as raised:
        traced.client.ask(QUESTION, [" "])
    found = traced.findings(raised.value.request_id, "passage_splitter")
    (failed,) = found.failed
    assert (failed.name, failed.error) == ("passage_splitter", "invalid")


def test_no_text_of_the_request_is_in_its_trace(traced: Traced) -> None:
    with pytest.raises(InvalidRequest):
        traced.client.ask("sesame", ["opens"], temperature=-1.0, request_id="secret")
    traced.client.ask("sesame", ["opens"], request_id="secret")
    traced.findings("secret", "decode")
    content = traced.file.read_text().lower()
    assert "secret" in content
    assert "sesame" not in content
    assert "opens" not in content


def test_the_command_finds_a_request(traced: Traced) -> None:
    traced.client.embed(["a"], request_id="look me up")
    traced.findings("look me up", "embedder")
    shown = CliRunner().invoke(main, ["show", "look me up", "--file", str(traced.file)])
    assert shown.exit_code == 0, shown.output
    assert shown.stdout.startswith("request look me up ")
    assert "embedder" in shown.stdout


def test_tritons_own_mode_splits_waiting_from_work(traced: Traced) -> None:
    traced.client.retrieve(QUESTION, DOCUMENTS, request_id="split")
    found = traced.findings("split", *traced.tritons, "reranker")
    queues = [node for node, _ in found.root.walk() if node.kind is Kind.QUEUE]
    assert bool(queues) == traced.has_tritons
