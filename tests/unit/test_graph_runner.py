"""The graph runner with fake models: order, errors, cancellation, deadlines."""

import contextlib
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ensembles.contracts import LLM, SOURCES, ModelContract
from ensembles.embed import EMBED
from ensembles.ensemble import ENSEMBLE
from ensembles.graph import EnsembleGraph, Step
from ensembles.rag import RAG_CANCELLABLE
from ensembles.retrieve import NO_PLACES
from ensembles.tensors import DType, optional, tensor
from python_backends import deadline
from python_backends.errors import Cancelled, Overloaded, RequestError
from python_backends.stages.graph_runner import (
    EnsembleStage,
    GraphRunnerStage,
)
from tests.fakes.serving import WAIT_S, FakeCaller, FakeStream, context, strings, tensors

FIND = ModelContract(
    "find",
    (tensor("question", DType.STRING, 1),),
    (tensor("messages", DType.STRING, 1), *SOURCES),
)
SHOUT = ModelContract(
    "shout",
    (tensor("question", DType.STRING, 1),),
    (tensor("stop_words", DType.STRING, "stop_words"),),
)


class TinyRag(GraphRunnerStage):
    """Two steps side by side, then the generation."""

    graph = EnsembleGraph(
        contract=ModelContract(
            "tiny",
            (tensor("question", DType.STRING, 1), optional("max_tokens", DType.INT32, 1)),
            tuple(spec for spec in LLM.outputs if spec.name not in NO_PLACES),
            decoupled=True,
        ),
        steps=(
            Step(LLM, inputs={s.name: f"found_{s.name}" for s in SOURCES}, outputs=NO_PLACES),
            Step(SHOUT),
            Step(FIND, outputs={s.name: f"found_{s.name}" for s in SOURCES}),
        ),
    )


def found(inputs):
    asked = inputs["question"][0].decode()
    return {
        "messages": strings(asked.upper()),
        "sources": strings("s"),
        "source_document": np.array([0], np.int32),
        "source_similarity": np.array([1], np.float32),
        "source_relevance": np.array([1], np.float32),
    }


ANSWERS = {"find": found, "shout": lambda inputs: {"stop_words": strings("!")}}


def response(text: str, reason: str | None = None):
    outputs = {"text_output": strings(text)}
    return outputs | ({"finish_reason": strings(reason)} if reason else {})


@pytest.fixture
def run(monkeypatch):
    """Starts a stage over the given models and one request; closes it behind the test."""
    stages = []

    def start(streaming, answers=ANSWERS, stage=TinyRag, **stream_fields):
        caller = FakeCaller(answers, streaming)
        made = stage(
            context(Path("nowhere/1"), caller, max_running_requests=4, max_waiting_requests=4)
        )
        stages.append(made)
        inputs = stream_fields.pop("inputs", {"question": "who"})
        stream = FakeStream(tensors(**inputs), **stream_fields)
        made.start(stream)
        return caller, stream

    yield start
    for made in stages:
        made.close()


def ended(stream: FakeStream) -> FakeStream:
    assert stream.closed.wait(WAIT_S), "no final response"
    return stream


def test_levels_follow_data_and_not_the_order_of_steps():
    assert [[s.model.name for s in level] for level in TinyRag.graph.levels()] == [
        ["shout", "find"],
        ["llm"],
    ]
    assert [[s.model.name for s in level] for level in RAG_CANCELLABLE.levels()][:3] == [
        ["passage_splitter"],
        ["tokenizer", "tokenizer"],
        ["embedder", "embedder"],
    ]
    assert [len(level) for level in EMBED.levels()] == [1, 1]


def test_responses_of_the_generation_are_passed_on_with_one_final_flag(run):
    seen = {}

    def streaming(inputs, request_id):
        seen.update(inputs, id=request_id)
        yield response("Hello")
        yield response(" you", "stop")

    caller, stream = run(streaming, inputs={"question": "who", "max_tokens": np.array([5])})
    ended(stream)
    assert [o["text_output"][0] for o in stream.sent] == [b"Hello", b" you"]
    assert (stream.finals, stream.error) == (1, None)
    assert caller.called in (["shout", "find", "llm"], ["find", "shout", "llm"])
    assert (seen["messages"][0], seen["stop_words"][0]) == (b"WHO", b"!")
    assert (seen["sources"][0], seen["max_tokens"].tolist()) == (b"s", [5])
    assert seen["id"].startswith("tiny-"), "an id of ours, so that it can be stopped"


def test_steps_of_one_level_run_concurrently(run):
    together = threading.Barrier(2, timeout=WAIT_S)

    def meet(name):
        def answer(inputs):
            together.wait()
            return ANSWERS[name](inputs)

        return answer

    _, stream = run(
        lambda *_: iter([response("ok", "stop")]), {name: meet(name) for name in ANSWERS}
    )
    assert ended(stream).error is None


def test_each_call_is_a_phase_and_carries_the_traceparent(run):
    caller, stream = run(lambda *_: iter([response("ok", "stop")]))
    ended(stream)
    assert sorted(stream.calls) == [("find", "ok"), ("llm", "ok"), ("shout", "ok")]
    assert caller.traceparents == {name: f"parent-of-{name}" for name in ("find", "shout", "llm")}
    ((name, start_s, end_s),) = stream.phases
    assert (name, start_s) == ("queue", stream.arrival_s)
    assert end_s >= start_s


def test_a_failed_call_has_its_outcome(run):
    def refuse(_):
        raise Overloaded("later")

    _, stream = run(lambda *_: iter(()), ANSWERS | {"find": refuse})
    ended(stream)
    assert ("find", "overloaded") in stream.calls
    _, stream = run(lambda *_: iter([response("Hel")]))
    ended(stream)
    assert ("llm", "failed") in stream.calls


@pytest.mark.parametrize("error", [RequestError("question: too long"), Overloaded("later")])
def test_an_inner_error_passes_through_with_its_code(run, error):
    def refuse(_):
        raise error

    caller, stream = run(lambda *_: iter(()), ANSWERS | {"find": refuse})
    assert ended(stream).error is error
    assert "llm" not in caller.called


def test_an_error_of_the_generation_passes_through(run):
    def streaming(inputs, request_id):
        yield response("Hel")
        raise Overloaded("no room")

    _, stream = run(streaming)
    assert str(ended(stream).error) == "no room"
    assert (len(stream.sent), stream.finals) == (1, 1)


def test_a_generation_without_a_last_response_is_an_error(run):
    _, stream = run(lambda *_: iter([response("Hel")]))
    assert "without a last response" in str(ended(stream).error)


class Stoppable:
    """A generation that goes on until a stop request of its id arrives."""

    def __init__(self) -> None:
        self.id = ""
        self.running, self.stopped = threading.Event(), threading.Event()
        self.stop_ids: list[str] = []

    def __call__(self, inputs, request_id):
        if "stop" in inputs:
            self.stop_ids.append(request_id)
            self.stopped.set()
            yield response("", "cancelled")
            return
        self.id = request_id
        yield response("Hel")
        self.running.set()
        assert self.stopped.wait(WAIT_S)
        yield response("", "cancelled")


def test_a_disconnected_client_ends_its_generation(run):
    generation = Stoppable()
    _, stream = run(generation)
    assert generation.running.wait(WAIT_S)
    stream.cancelled = True
    assert isinstance(ended(stream).error, Cancelled)
    assert str(stream.error) == "cancelled by the client"
    assert set(generation.stop_ids) == {generation.id}


def test_a_deadline_ends_the_generation(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    generation = Stoppable()
    _, stream = run(generation, timeout_us=1_500_000)
    assert generation.running.wait(WAIT_S)
    assert not generation.stop_ids, "1.5 s are not over"
    now[0] = 1.6
    assert isinstance(ended(stream).error, Cancelled)
    assert str(stream.error) == "timeout: 1500000 us asked for; this time has passed"


def test_a_failed_stop_request_is_repeated(run):
    generation = Stoppable()
    calls = []

    def streaming(inputs, request_id):
        if "stop" in inputs:
            calls.append(request_id)
            if len(calls) == 1:
                raise RuntimeError("llm is being loaded")
        return generation(inputs, request_id)

    _, stream = run(streaming)
    assert generation.running.wait(WAIT_S)
    stream.cancelled = True
    assert isinstance(ended(stream).error, Cancelled)
    assert len(calls) >= 2


def test_no_generation_is_started_for_a_disconnected_client(run):
    caller, stream = run(lambda *_: iter(()), cancelled=True)
    assert isinstance(ended(stream).error, Cancelled)
    assert caller.called == []


def test_a_full_queue_refuses_and_closing_ends_waiting_requests():
    running, go_on = threading.Event(), threading.Event()

    def streaming(inputs, request_id):
        running.set()
        assert go_on.wait(WAIT_S)
        yield response("done", "stop")

    stage = TinyRag(
        context(
            Path("nowhere/1"),
            FakeCaller(ANSWERS, streaming),
            max_running_requests=1,
            max_waiting_requests=1,
        )
    )
    first, second = (FakeStream(tensors(question="who")) for _ in range(2))
    stage.start(first)
    stage.start(second)
    with pytest.raises(Overloaded, match=r"2 requests are running or waiting.*try again later"):
        stage.start(FakeStream(tensors(question="who")))
    assert running.wait(WAIT_S)
    closing = threading.Thread(target=stage.close)
    closing.start()
    go_on.set()
    closing.join(WAIT_S)
    assert first.sent
    assert first.finals == second.finals == 1
    assert second.sent or str(second.error) == "the server is stopping"


@pytest.mark.parametrize(("running", "waiting"), [(1, 0), (2, 0), (1, 3)])
def test_running_and_waiting_requests_are_limited(running, waiting):
    go_on = threading.Event()

    def streaming(inputs, request_id):
        assert go_on.wait(WAIT_S)
        yield response("done", "stop")

    stage = TinyRag(
        context(
            Path("nowhere/1"),
            FakeCaller(ANSWERS, streaming),
            max_running_requests=running,
            max_waiting_requests=waiting,
        )
    )
    taken = [FakeStream(tensors(question="who")) for _ in range(running + waiting)]
    for stream in taken:
        stage.start(stream)
    refused = FakeStream(tensors(question="who"))
    with pytest.raises(Overloaded, match=f"^{running + waiting} requests are running or waiting"):
        stage.start(refused)
    go_on.set()
    assert all(ended(stream).error is None for stream in taken)
    later, deadline = FakeStream(tensors(question="who")), time.monotonic() + WAIT_S
    while not later.sent:  # a run gives its room back just behind its final response
        with contextlib.suppress(Overloaded):
            stage.start(later)
            ended(later)
        assert time.monotonic() < deadline, "the room did not come back"
    stage.close()
    assert not refused.sent


def test_the_ensemble_passes_all_inputs_to_llm_and_drops_undeclared_outputs(run):
    seen = {}

    def streaming(inputs, request_id):
        seen.update(inputs)
        yield response("x", "stop") | {"citations": np.array([1], np.int32)}

    inputs = {"text_input": "Hi", "max_tokens": np.array([4]), "beam_width": np.array([1])}
    _, stream = run(streaming, stage=EnsembleStage, inputs=inputs)
    assert seen.keys() == inputs.keys() or ended(stream)
    assert ended(stream).sent[0].keys() == {"text_output", "finish_reason"}
    assert seen.keys() == inputs.keys()
    assert "citations" not in [spec.name for spec in ENSEMBLE.contract.outputs]
