"""The engine on NVIDIA's C++ backend, over a caller in memory (not run on a GPU yet)."""

import itertools
import math
import threading
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

from builders.tensorrt_llm.backend_config import FIXED
from python_backends.engines import tensorrt_llm_backend as backend
from python_backends.engines.llm_engine import Delta, GenerationParams, Guide
from python_backends.engines.load import load_llm_engine
from python_backends.engines.tensorrt_llm_backend import TensorRtLlmBackend
from python_backends.engines.tensorrt_llm_tensors import TENSORRT_LLM, request_inputs, stop_inputs
from python_backends.errors import Overloaded
from tests.fakes import folders
from tests.fakes.serving import WAIT_S, FakeCaller, FakeSink, context, greedy

STAND_IN = Path(__file__).parents[1] / "server" / "stand_ins" / "tensorrt_llm" / "config.pbtxt"
GREEDY = greedy(max_tokens=4, seed=2**63)


def params(**changes) -> GenerationParams:
    return GenerationParams(**(vars(GREEDY) | changes))


def response(*ids: int) -> dict[str, np.ndarray]:
    """As the backend sends it: [1, beams, tokens] and [1, beams]."""
    return {
        "output_ids": np.array([[ids]], np.int32).reshape(1, 1, -1),
        "sequence_length": np.array([[len(ids)]], np.int32),
    }


@pytest.fixture
def load(tmp_path, monkeypatch):
    monkeypatch.setattr(backend, "STOP_INTERVAL_S", 0.01)
    made = []

    def start(streaming, running=2, waiting=2, eos=(1,)) -> TensorRtLlmBackend:
        folder = folders.make_folder(
            tmp_path / "engine",
            folders.byte_level(),
            "llm",
            engine="tensorrtllm-backend",
            eos_token_ids=eos,
        )
        caller = FakeCaller({}, streaming)
        found = context(folder, caller, max_running_requests=running, max_waiting_requests=waiting)
        made.append(load_llm_engine(found, found.engine_folder()))
        return made[-1]

    yield start
    for engine in made:
        engine.close()
        assert not engine._stopper.is_alive()


class Backend:
    """Generates until a stop request of the same id comes; `go_on` holds it back."""

    def __init__(self) -> None:
        self.go_on, self.begun = threading.Event(), threading.Semaphore(0)
        self.stopped: dict[str, threading.Event] = {}
        self.stop_ids: list[str] = []
        self.ignored_stops = 0

    def __call__(self, inputs, request_id):
        if "stop" in inputs:
            self.stop_ids.append(request_id)
            if len(self.stop_ids) > self.ignored_stops:
                self.stopped[request_id].set()
            return
        stopped = self.stopped.setdefault(request_id, threading.Event())
        self.begun.release()
        yield response(50)
        while not self.go_on.is_set() and not stopped.is_set():
            stopped.wait(0.001)
        if not stopped.is_set():
            yield response(51, 52, 53)


def ask(engine, prompt=(5, 6, 7), **changes) -> FakeSink:
    sink = FakeSink()
    sink.number = engine.submit(prompt, params(**changes), sink)
    return sink


# --- what is sent ----------------------------------------------------------------------------


def test_every_tensor_is_declared_alike_by_the_backend():
    config = text_format.Parse(STAND_IN.read_text(), schema.ModelConfig())
    declared = {t.name: (schema.DataType.Name(t.data_type), list(t.dims)) for t in config.input}
    outputs = {t.name: (schema.DataType.Name(t.data_type), list(t.dims)) for t in config.output}
    for specs, known in ((TENSORRT_LLM.inputs, declared), (TENSORRT_LLM.outputs, outputs)):
        for spec in specs:
            assert known[spec.name] == (spec.dtype.config_name, list(spec.shape)), spec.name
    required = {t.name for t in config.input if not t.optional}
    assert required == {"input_lengths", "request_output_len"}
    assert required <= stop_inputs().keys()
    assert (len(declared), len(outputs)) == (62, 21)


def test_the_stand_in_has_the_tensors_that_builders_write():
    stand_in, written = (
        text_format.Parse(path.read_text(), schema.ModelConfig()) for path in (STAND_IN, FIXED)
    )
    found, expected = (
        {
            t.name: (tuple(t.dims), t.HasField("reshape"), t.optional, t.allow_ragged_batch)
            for t in config.input
        }
        for config in (stand_in, written)
    )
    assert found == expected
    assert {t.name: t.dims for t in stand_in.output} == {t.name: t.dims for t in written.output}


def test_a_greedy_request():
    found = request_inputs((5, 6, 7), GREEDY, (1,))
    assert {n: (a.dtype.name, a.tolist()) for n, a in found.items()} == {
        "input_ids": ("int32", [[5, 6, 7]]),
        "input_lengths": ("int32", [[3]]),
        "request_output_len": ("int32", [[4]]),
        "beam_width": ("int32", [[1]]),
        "streaming": ("bool", [[True]]),
        "exclude_input_in_output": ("bool", [[True]]),
        "end_id": ("int32", [[1]]),
        "pad_id": ("int32", [[1]]),
        "min_tokens": ("int32", [[0]]),
        "repetition_penalty": ("float32", [[1.0]]),
        "presence_penalty": ("float32", [[0.0]]),
        "frequency_penalty": ("float32", [[0.0]]),
        "seed": ("uint64", [[2**63]]),
        "runtime_top_k": ("int32", [[1]]),
    }


def test_a_sampled_request_names_its_limits():
    found = request_inputs((5,), params(temperature=0.5, top_k=9, top_p=0.75), ())
    assert found["runtime_top_k"].tolist() == [[9]]
    assert (found["temperature"].item(), found["runtime_top_p"].item()) == (0.5, 0.75)
    assert not found.keys() & {"end_id", "pad_id", "stop_words_list"}


def test_further_end_tokens_go_as_stop_words():
    found = request_inputs((5,), GREEDY, (1, 8, 9))["stop_words_list"]
    assert (found.dtype, found.shape) == (np.int32, (1, 2, 2))
    assert found.tolist() == [[[8, 9], [1, 2]]]


def test_a_guide_goes_by_the_backend_s_names():
    def asked(guide: Guide) -> dict[str, object]:
        found = request_inputs((5,), params(guide=guide), (1,))
        return {n: v.tolist() for n, v in found.items() if n.startswith("guided_")}

    kind, text = "guided_decoding_guide_type", "guided_decoding_guide"
    assert asked(Guide("regex", "é+")) == {kind: [[b"regex"]], text: [["é+".encode()]]}
    assert asked(Guide("json")) == {kind: [[b"json"]]}


def test_a_stop_request():
    found = {name: array.tolist() for name, array in stop_inputs().items()}
    assert found == {
        "input_ids": [[0]],
        "input_lengths": [[0]],
        "request_output_len": [[0]],
        "stop": [[True]],
    }


# --- what comes back -------------------------------------------------------------------------


def test_responses_are_deltas_until_max_tokens(load):
    engine = load(lambda *_: iter([response(50), response(51, 52), response(), response(53)]))
    sink = ask(engine)
    assert sink.wait() == Delta((53,), "length")
    assert sink.deltas == [Delta((50,)), Delta((51, 52)), Delta((53,), "length")]


@pytest.mark.parametrize("end", [1, 8])
def test_an_end_token_among_the_ids_is_the_end(load, end):
    engine = load(lambda *_: iter([response(50), response(end)]), eos=(1, 8))
    assert ask(engine).wait() == Delta((end,), "stop")


def test_an_answer_that_ends_early_ended_with_the_end_token(load):
    engine = load(lambda *_: iter([response(50), response()]))
    sink = ask(engine)
    assert sink.wait() == Delta((), "stop")
    assert sink.ids == [50]


def test_an_error_ends_that_request_alone(load):
    def streaming(inputs, request_id):
        yield response(50)
        if inputs["input_ids"][0, 0] == 13:
            raise RuntimeError("Executor failed process requestId 3")
        yield response(51, 52, 53)

    engine = load(streaming)
    good, bad = ask(engine, (5,)), ask(engine, (13,))
    last = bad.wait()
    assert (last.finish_reason, str(last.error)) == ("error", "Executor failed process requestId 3")
    assert good.wait() == Delta((51, 52, 53), "length")


def test_a_full_queue_of_the_backend_is_overload(load):
    def streaming(inputs, request_id):
        raise Overloaded("Exceeds maximum queue size")
        yield

    assert isinstance(ask(load(streaming)).wait().error, Overloaded)


# --- many at a time --------------------------------------------------------------------------


def test_running_and_waiting_requests_are_limited(load):
    model = Backend()
    engine = load(model, running=2, waiting=1)
    sinks = [ask(engine) for _ in range(3)]
    for _ in range(2):
        assert model.begun.acquire(timeout=WAIT_S)
    assert not model.begun.acquire(timeout=0.05), "the third one waits"
    assert (engine.stats().running, engine.stats().waiting) == (2, 1)
    assert math.isnan(engine.stats().kv_cache_used)
    with pytest.raises(Overloaded, match=r"^3 requests are running or waiting.*try again later"):
        ask(engine)
    model.go_on.set()
    assert [sink.wait().finish_reason for sink in sinks] == ["length"] * 3
    assert ask(engine).wait().finish_reason == "length"


def test_ids_of_requests_differ_and_do_not_begin_with_a_digit(load):
    ids = []

    def streaming(inputs, request_id):
        ids.append(request_id)
        return iter([response(1)])

    engine = load(streaming)
    for _ in range(3):
        ask(engine).wait()
    assert len(set(ids)) == 3
    assert not any(request_id[0].isdigit() for request_id in ids)


# --- cancellation ----------------------------------------------------------------------------


@pytest.mark.parametrize("ignored", [0, 2])
def test_cancelling_sends_stop_requests_until_the_generation_ends(load, ignored):
    model = Backend()
    model.ignored_stops = ignored
    engine = load(model)
    other, sink = ask(engine), ask(engine)
    assert sink.started.wait(WAIT_S)
    engine.cancel(sink.number)
    assert sink.wait() == Delta((), "cancelled")
    assert len(model.stop_ids) >= ignored + 1
    (stopped,) = set(model.stop_ids)
    assert stopped.endswith(f"-{sink.number}")
    model.go_on.set()
    assert other.wait().finish_reason == "length"


def test_cancelling_while_it_waits_never_reaches_the_backend(load):
    model = Backend()
    engine = load(model, running=1)
    running, waiting = ask(engine), ask(engine)
    engine.cancel(waiting.number)
    assert waiting.wait() == Delta((), "cancelled")
    model.go_on.set()
    assert running.wait().finish_reason == "length"
    assert (model.stop_ids, len(model.stopped)) == ([], 1)


def test_a_sink_may_cancel_from_within(load):
    model = Backend()
    engine = load(model)
    numbers, sink = [], FakeSink()
    known = threading.Event()

    def cancelling(delta):
        assert known.wait(WAIT_S)
        if delta.token_ids:
            engine.cancel(numbers[0])
        sink(delta)

    numbers.append(engine.submit((5,), GREEDY, cancelling))
    known.set()
    assert sink.wait() == Delta((), "cancelled")
    assert sink.ids == [50]


def test_a_failed_stop_request_is_repeated(load, caplog):
    model, failures = Backend(), itertools.count()

    def streaming(inputs, request_id):
        if "stop" in inputs and next(failures) == 0:
            raise RuntimeError("not ready")
        return model(inputs, request_id)

    engine = load(streaming)
    sink = ask(engine)
    assert sink.started.wait(WAIT_S)
    engine.cancel(sink.number)
    assert sink.wait() == Delta((), "cancelled")
    assert "could not be stopped; trying again" in caplog.text


def test_cancelling_an_ended_request_does_nothing(load):
    engine = load(lambda *_: iter([response(1)]))
    sink = ask(engine)
    sink.wait()
    engine.cancel(sink.number)
    engine.cancel(12345)
    assert ask(engine).wait().finish_reason == "stop"


def test_closing_stops_running_requests_and_drops_waiting_ones(load):
    model = Backend()
    engine = load(model, running=1, waiting=2)
    sinks = [ask(engine) for _ in range(3)]
    assert model.begun.acquire(timeout=WAIT_S)
    engine.close()
    assert [sink.wait() for sink in sinks] == [Delta((), "cancelled")] * 3
    assert len(model.stopped) == 1


def test_a_generation_that_does_not_stop_is_ended_without_the_backend(load, monkeypatch, caplog):
    monkeypatch.setattr(backend, "STOP_TIMEOUT_S", 0.05)
    model = Backend()
    model.ignored_stops = 10**9
    engine = load(model)
    sinks = [ask(engine) for _ in range(2)]
    for sink in sinks:
        assert sink.started.wait(WAIT_S)
    engine.cancel(sinks[0].number)
    assert sinks[0].wait() == Delta((), "cancelled")
    assert "a generation does not stop" in caplog.text
    assert engine.stats().running == 2, "its thread is still taken"
    engine.close()
    assert sinks[1].wait() == Delta((), "cancelled")
    model.go_on.set()
