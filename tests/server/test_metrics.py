"""Our metrics on the page of a real server: what was sent is what is counted."""

import time
import urllib.request
from collections.abc import Mapping

import numpy as np
import pytest

from builders.spec import load_sku
from ensembles.metrics import (
    BATCH_REQUESTS,
    BATCH_ROWS,
    ITERATION_REQUESTS,
    ITERATIONS,
    MODEL_METRICS,
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
from tests.server.conftest import OpenStream, Server, eventually, gauge, tensor, text

SECRET = "quetzalcoatlus"
"""A word of prompts that may be nowhere on the page."""

SETTLE_S = 0.6
"""Longer than numbers take to the page (`metering.FLUSH_S`; `llm` looks at its engine first)."""

Page = Mapping[str, float]


def read(server: Server) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.ports.metrics}/metrics") as page:
        return str(page.read().decode())


def page(server: Server) -> Page:
    """Value by series, as written."""
    time.sleep(SETTLE_S)
    lines = [line for line in read(server).splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


class Grown:
    """What was added to the page by the block."""

    def __init__(self, server: Server) -> None:
        self._server, self._before, self._after = server, {}, {}

    def __enter__(self) -> "Grown":
        self._before = page(self._server)
        return self

    def __exit__(self, *error: object) -> None:
        self._after = page(self._server)

    def of(self, metric: Metric, model: str, suffix: str = "", **labels: str) -> float:
        """Of all series that have these labels."""
        wanted = [f'{name}="{value}"' for name, value in {"model": model, **labels}.items()]
        found = [
            value - self._before.get(series, 0.0)
            for series, value in self._after.items()
            if series.startswith(metric.name + suffix + "{") and all(w in series for w in wanted)
        ]
        assert found, f"no series {metric.name}{suffix} with {wanted}"
        return sum(found)


def embed(server: Server, *texts: str) -> None:
    server.infer("tokenizer", text("text", *texts))


def generation(max_tokens: int = 8, **flags: bool) -> list:
    found = [text("text_input", f"{SECRET} is"), tensor("max_tokens", [max_tokens], "INT32")]
    return found + [tensor(name, [value], "BOOL") for name, value in flags.items()]


def test_requests_are_counted_by_how_they_ended(server):
    long = [*generation(500, stream=True), tensor("min_tokens", [500], "INT32")]
    with Grown(server) as grown:
        for _ in range(3):
            assert server.stream("llm", *generation()).error is None
        for _ in range(2):
            assert server.stream("llm", *generation(10**6)).error
        stream = OpenStream(server.url, "llm", long)
        stream.next()
        stream.cancel()
        for _ in range(4):
            embed(server, SECRET)
        with pytest.raises(Exception, match="empty"):
            embed(server, " ")
        time.sleep(1.0)
    by_outcome = {o: grown.of(REQUESTS, "llm", outcome=o) for o in
                  ("ok", "invalid", "cancelled", "overloaded", "failed")}  # fmt: skip
    assert by_outcome == {"ok": 3, "invalid": 2, "cancelled": 1, "overloaded": 0, "failed": 0}
    assert grown.of(REQUEST_DURATION, "llm", "_count") == 6
    assert grown.of(REQUESTS, "tokenizer", outcome="ok") == 4
    assert grown.of(REQUESTS, "tokenizer", outcome="invalid") == 1
    assert grown.of(BATCH_REQUESTS, "tokenizer", "_count") == 5
    assert grown.of(TIME_TO_FIRST_TOKEN, "llm", "_count") == 4, "each that had a token"


def test_tokens_are_those_that_the_responses_told(server):
    with Grown(server) as grown:
        start_s = time.monotonic()
        answers = [server.stream("llm", *generation(n, stream=n % 2 == 0)) for n in (1, 5, 12, 30)]
        stopped = server.stream("llm", *generation(40), text("stop_words", " the", " a", "e"))
        wall_s = time.monotonic() - start_s
    answers.append(stopped)
    assert not any(answer.error for answer in answers)
    told = sum(answer.tokens for answer in answers)
    prompts = sum(int(a.values("num_input_tokens")[0].reshape(-1)[0]) for a in answers)
    assert grown.of(TOKENS, "llm", type="output") == told > 0
    assert grown.of(TOKENS, "llm", type="input") == prompts
    first_s = grown.of(TIME_TO_FIRST_TOKEN, "llm", "_sum")
    duration_s = grown.of(REQUEST_DURATION, "llm", "_sum")
    assert 0 < first_s <= duration_s <= wall_s
    stages = {s: grown.of(STAGE_DURATION, "llm", "_sum", stage=s)
              for s in ("tokenize", "queue", "prefill", "decode")}  # fmt: skip
    assert all(seconds >= 0 for seconds in stages.values())
    assert sum(stages.values()) == pytest.approx(duration_s, rel=0.2)
    assert stages["tokenize"] + stages["queue"] + stages["prefill"] == pytest.approx(first_s, 0.01)
    assert grown.of(ITERATION_REQUESTS, "llm") >= grown.of(ITERATIONS, "llm") > 10


def test_requests_beyond_the_batch_wait_in_the_queue_and_not_in_prefill(server):
    """As many as run at once, then a few more, held there for a second before there is room."""
    running, more, held_s = 32, 4, 1.0
    assert load_sku("cpu").place("llm").parameters["max_running_requests"] == running
    inputs = [*generation(900), tensor("min_tokens", [900], "INT32")]
    with Grown(server) as grown:
        batch, behind = (OpenStream(server.url) for _ in range(2))
        for _ in range(running):
            batch.send("llm", inputs)
        assert eventually(lambda: gauge(server, RUNNING.name) == running)
        for _ in range(more):
            behind.send("llm", inputs)
        assert eventually(lambda: gauge(server, WAITING.name) == more)
        time.sleep(held_s)
        batch.cancel()
        for _ in range(more):
            _, error = behind.next()
            assert error is None
        behind.close()
    assert grown.of(STAGE_DURATION, "llm", "_count", stage="queue") == running + more
    assert grown.of(STAGE_DURATION, "llm", "_sum", stage="queue") > more * held_s
    assert grown.of(STAGE_DURATION, "llm", "_count", stage="decode") == running + more


def test_rows_of_the_encoder(server):
    ids = np.arange(1000, 1045, dtype=np.int64).reshape(5, 9)
    inputs = [tensor(n, v, "INT64") for n, v in (("input_ids", ids), ("attention_mask", ids > 0))]
    with Grown(server) as grown:
        for _ in range(2):
            server.infer("embedder", *inputs)
    assert grown.of(BATCH_ROWS, "embedder", "_sum") == 5
    assert grown.of(ROWS, "embedder", source="computed") == 5
    assert grown.of(ROWS, "embedder", source="cached") == 5
    assert grown.of(REQUESTS, "embedder", outcome="ok") == 2


def test_the_steps_of_a_graph_are_timed_by_their_names(server):
    inputs = [text("question", SECRET), text("documents", f"{SECRET} flew.", "Birds fly.")]
    with Grown(server) as grown:
        assert server.stream("rag_cancellable", *inputs).error is None
    steps = ("queue", "tokenizer", "embedder", "reranker", "prompt_builder", "llm")
    seconds = {s: grown.of(STAGE_DURATION, "rag_cancellable", "_sum", stage=s) for s in steps}
    assert all(seconds.values())
    total_s = grown.of(REQUEST_DURATION, "rag_cancellable", "_sum")
    assert seconds["llm"] <= total_s
    assert grown.of(STAGE_DURATION, "rag_cancellable", "_count", stage="tokenizer") == 2


def test_the_page_is_as_defined_and_repeats_nothing_that_clients_wrote(server):
    time.sleep(SETTLE_S)
    text_of_page = read(server)
    for metric in MODEL_METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text_of_page
        suffix = "_count" if metric.kind is Kind.HISTOGRAM else ""
        series = [s for s in text_of_page.splitlines() if s.startswith(metric.name + suffix + "{")]
        assert series, metric.name
        for line in series:
            labels = line[line.index("{") + 1 : line.rindex("}")]
            names = {label.partition("=")[0] for label in labels.split(",")}
            assert names == {"model", "version", *metric.labels}
    assert SECRET not in text_of_page
