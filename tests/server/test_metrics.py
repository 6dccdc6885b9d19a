"""Our metrics on the page of a real server: what was sent is what is counted."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import tritonclient.grpc as grpcclient

from builders.spec import load_sku
from ensembles.metrics import (
    BATCH_REQUESTS,
    BATCH_ROWS,
    ITERATION_REQUESTS,
    ITERATIONS,
    REQUEST_DURATION,
    REQUESTS,
    ROWS,
    RUNNING,
    STAGE_DURATION,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    WAITING,
    Kind,
    Metric,
)
from operations.cpu_server import CpuServer
from operations.ports import free_ports
from tests.served_metrics import MODEL_METRICS
from tests.server.cancellation import cancelled
from tests.server.conftest import (
    OpenStream,
    Server,
    eventually,
    gauge,
    metrics_page,
    read_metrics,
    seen,
    tensor,
    text,
    until_killed,
)

SECRET = "quetzalcoatlus"
"""A word of prompts that may be nowhere on the page."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that nobody has asked yet: what is counted comes from these tests."""
    log = tmp_path_factory.mktemp("metrics") / "tritonserver.log"
    with until_killed(CpuServer(load_sku("cpu"), free_ports(), log)) as running:
        client = grpcclient.InferenceServerClient(f"127.0.0.1:{running.ports.grpc}")
        yield Server(running.ports, client, log, running.pid)
        client.close()


class Grown:
    """What is added to the page from now on.

    A number takes a moment to the page. A test says with `reaches` what it waits for, and asserts
    the rest on the page that showed it. It waits for all that it caused: the next one starts there.
    """

    def __init__(self, server: Server) -> None:
        self._server, self._before = server, metrics_page(server)
        self._after = self._before

    def of(self, metric: Metric, model: str, suffix: str = "", **labels: str) -> float:
        """The sum over all series that have these labels."""
        name, labels = metric.name + suffix, {"model": model, **labels}
        return self._after.total(name, **labels) - self._before.total(name, **labels)

    def reaches(
        self, value: float, metric: Metric, model: str, suffix: str = "", **labels: str
    ) -> None:
        def look() -> float:
            self._after = metrics_page(self._server)
            return self.of(metric, model, suffix, **labels)

        seen(look, lambda now: now >= value)
        assert self.of(metric, model, suffix, **labels) == value


def embed(server: Server, *texts: str) -> None:
    server.infer("tokenizer", text("input_text", *texts))


def generation(max_tokens: int = 8, **flags: bool) -> list:
    found = [text("text_input", f"{SECRET} is"), tensor("max_tokens", [max_tokens], "INT32")]
    return found + [tensor(name, [value], "BOOL") for name, value in flags.items()]


def test_tokens_are_those_that_the_responses_told(server):
    grown, start_s = Grown(server), time.monotonic()
    answers = [server.stream("llm", *generation(n, stream=n % 2 == 0)) for n in (1, 5, 12, 30)]
    answers += [server.stream("llm", *generation(40), text("stop_words", " the", " a", "e"))]
    wall_s = time.monotonic() - start_s
    assert not any(answer.error for answer in answers)
    told = sum(answer.tokens for answer in answers)
    prompts = sum(int(a.values("num_input_tokens")[0].reshape(-1)[0]) for a in answers)
    assert told > 0
    grown.reaches(told, TOKENS, "llm", type="output")
    grown.reaches(prompts, TOKENS, "llm", type="input")
    for stage in ("tokenize", "queue", "prefill", "decode"):
        grown.reaches(len(answers), STAGE_DURATION, "llm", "_count", stage=stage)
    grown.reaches(len(answers), TIME_TO_FIRST_TOKEN, "llm", "_count")
    grown.reaches(len(answers), REQUEST_DURATION, "llm", "_count")
    first_s = grown.of(TIME_TO_FIRST_TOKEN, "llm", "_sum")
    duration_s = grown.of(REQUEST_DURATION, "llm", "_sum")
    assert 0 < first_s <= duration_s <= wall_s
    stages = {s: grown.of(STAGE_DURATION, "llm", "_sum", stage=s)
              for s in ("tokenize", "queue", "prefill", "decode")}  # fmt: skip
    assert all(seconds >= 0 for seconds in stages.values())
    assert first_s < sum(stages.values()) <= duration_s  # the answer is sent behind the last one
    assert stages["tokenize"] + stages["queue"] + stages["prefill"] == pytest.approx(first_s, 0.01)
    assert grown.of(ITERATION_REQUESTS, "llm") >= grown.of(ITERATIONS, "llm") > 10


def test_requests_are_counted_by_how_they_ended(server):
    long = [*generation(1900, stream=True), tensor("min_tokens", [1900], "INT32")]
    grown = Grown(server)
    for _ in range(3):
        assert server.stream("llm", *generation()).error is None
    for _ in range(2):
        assert server.stream("llm", *generation(10**6)).error
    with cancelled(server, 1):
        stream = OpenStream(server.url, "llm", long)
        stream.next()
        stream.cancel()
    for _ in range(4):
        embed(server, SECRET)
    with pytest.raises(Exception, match="empty"):
        embed(server, " ")
    for outcome, count in {"ok": 3, "invalid": 2, "cancelled": 1}.items():
        grown.reaches(count, REQUESTS, "llm", outcome=outcome)
    grown.reaches(6, REQUEST_DURATION, "llm", "_count")
    grown.reaches(4, TIME_TO_FIRST_TOKEN, "llm", "_count")  # each that had a token
    grown.reaches(4, STAGE_DURATION, "llm", "_count", stage="decode")
    grown.reaches(4, REQUESTS, "tokenizer", outcome="ok")
    grown.reaches(1, REQUESTS, "tokenizer", outcome="invalid")
    grown.reaches(5, BATCH_REQUESTS, "tokenizer", "_count")
    assert grown.of(REQUESTS, "llm") == 6, "none overloaded, none failed"
    assert grown.of(REQUESTS, "tokenizer") == 5


def test_requests_beyond_the_batch_wait_in_the_queue_and_not_in_prefill(server):
    """As many as run at once, then a few more, held there for a second before there is room."""
    running, more, held_s = 32, 4, 1.0
    assert load_sku("cpu").place("llm").parameters["max_running_requests"] == running
    inputs = [*generation(900), tensor("min_tokens", [900], "INT32")]
    grown = Grown(server)
    batch, behind = (OpenStream(server.url) for _ in range(2))
    for _ in range(running):
        batch.send("llm", inputs)
    assert eventually(lambda: gauge(server, RUNNING.name) == running)
    for _ in range(more):
        behind.send("llm", inputs)
    assert eventually(lambda: gauge(server, WAITING.name) == more)
    time.sleep(held_s)  # the least that they wait
    batch.cancel()
    for _ in range(more):
        _, error = behind.next()
        assert error is None
    behind.close()
    for stage in ("queue", "decode"):
        grown.reaches(running + more, STAGE_DURATION, "llm", "_count", stage=stage)
    assert grown.of(STAGE_DURATION, "llm", "_sum", stage="queue") > more * held_s


def test_rows_of_the_encoder(server):
    ids = np.arange(1000, 1045, dtype=np.int64).reshape(5, 9)
    inputs = [tensor(n, v, "INT64") for n, v in (("input_ids", ids), ("attention_mask", ids > 0))]
    grown = Grown(server)
    for _ in range(2):
        server.infer("embedder", *inputs)
    grown.reaches(2, REQUESTS, "embedder", outcome="ok")
    grown.reaches(5, BATCH_ROWS, "embedder", "_sum")
    grown.reaches(5, ROWS, "embedder", source="computed")
    grown.reaches(5, ROWS, "embedder", source="cached")


def answer(server: Server) -> None:
    inputs = [text("question", SECRET), text("documents", f"{SECRET} flew.", "Birds fly.")]
    assert server.stream("rag_cancellable", *inputs).error is None


def test_the_steps_of_a_graph_are_timed_by_their_names(server):
    grown = Grown(server)
    answer(server)
    steps = {"queue": 1, "tokenizer": 3, "embedder": 3, "reranker": 1, "prompt_builder": 1,
             "llm": 1}  # fmt: skip
    for step, calls in steps.items():
        grown.reaches(calls, STAGE_DURATION, "rag_cancellable", "_count", stage=step)
    grown.reaches(1, REQUEST_DURATION, "rag_cancellable", "_count")
    seconds = {s: grown.of(STAGE_DURATION, "rag_cancellable", "_sum", stage=s) for s in steps}
    assert all(seconds.values())
    assert seconds["llm"] <= grown.of(REQUEST_DURATION, "rag_cancellable", "_sum")


def test_the_page_is_as_defined_and_repeats_nothing_that_clients_wrote(server):
    names = [m.name + ("_count" if m.kind is Kind.HISTOGRAM else "") for m in MODEL_METRICS]
    answer(server)
    assert server.stream("llm", *generation(30, stream=True)).error is None
    page = seen(
        lambda: metrics_page(server), lambda page: all(any(page.matching(n)) for n in names)
    )
    for metric, name in zip(MODEL_METRICS, names, strict=True):
        for series, _ in page.matching(name):
            labels = series[series.index("{") + 1 : series.rindex("}")]
            found = {label.partition("=")[0] for label in labels.split(",")}
            assert found == {"model", "version", *metric.labels}
    text_of_page = read_metrics(server)
    assert SECRET not in text_of_page
    for metric in MODEL_METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text_of_page
