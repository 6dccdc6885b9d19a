"""The engine on TensorRT-LLM's LLM API, over a fake of that library (not run on a GPU yet)."""

import itertools
import json
import math
import sys

import pytest

from ensembles.manifest import ManifestError
from python_backends.engines.llm_engine import Delta, GenerationParams, Guide
from python_backends.engines.load import load_llm_engine
from python_backends.engines.tensorrt_llm_api import TensorRtLlmApi, sampling_params
from python_backends.errors import Overloaded, RequestError
from tests.fakes import folders, tensorrt_llm
from tests.fakes.serving import WAIT_S, FakeSink, context, greedy

CONFIG = {"model": "checkpoint", "max_seq_len": 64, "skip_tokenizer_init": True}
GREEDY = greedy()


def params(**changes) -> GenerationParams:
    return GenerationParams(**(vars(GREEDY) | changes))


@pytest.fixture(autouse=True)
def library(monkeypatch):
    module = tensorrt_llm.as_module()
    monkeypatch.setitem(sys.modules, "tensorrt_llm", module)
    monkeypatch.setitem(sys.modules, "tensorrt_llm.llmapi", module)
    monkeypatch.setattr(tensorrt_llm.LLM, "made", [])
    return module


@pytest.fixture
def load(tmp_path):
    made = []

    def start(
        config=CONFIG, text=None, running=4, waiting=4, eos=(1,), plan=None
    ) -> TensorRtLlmApi:
        folder = folders.make_folder(
            tmp_path / "engine",
            folders.byte_level(),
            "llm",
            files={"model.yaml": json.dumps(config) if text is None else text},
            engine="tensorrt-llm",
            eos_token_ids=eos,
            plan=plan,
        )
        found = context(folder, max_running_requests=running, max_waiting_requests=waiting)
        made.append(load_llm_engine(found, found.engine_folder()))
        return made[-1]

    yield start
    for engine in made:
        engine.close()
        assert not engine._thread.is_alive()


def library_of(engine) -> tensorrt_llm.LLM:
    return engine._llm


def ask(engine, prompt=(5, 6, 7), **changes) -> FakeSink:
    sink = FakeSink()
    sink.number = engine.submit(prompt, params(**changes), sink)
    return sink


# --- loading ---------------------------------------------------------------------------------


def test_the_library_gets_the_arguments_of_model_yaml_and_the_checkpoints_path(load, tmp_path):
    engine = load(CONFIG | {"kv_cache_config": {"max_tokens": 640}})
    assert isinstance(engine, TensorRtLlmApi)
    assert library_of(engine).arguments == {
        "model": str(tmp_path / "engine" / "checkpoint"),
        "max_seq_len": 64,
        "skip_tokenizer_init": True,
        "kv_cache_config": {"max_tokens": 640},
    }
    assert engine.max_request_tokens == 64


def test_an_argument_that_the_library_does_not_know_fails_load(load):
    with pytest.raises(ValueError, match="LLM got invalid argument: max_sequence_length"):
        load(CONFIG | {"max_sequence_length": 64})


@pytest.mark.parametrize("text", ["model: x", "[]", '{"model": "x"}', '{"max_seq_len": 64}'])
def test_another_config_asks_for_a_rebuild(load, text):
    with pytest.raises(ManifestError, match=r"model\.yaml: a JSON object with .*; rebuild"):
        load(text=text)


def test_a_changed_config_is_refused(load, tmp_path):
    load()
    path = tmp_path / "engine" / "model.yaml"
    path.write_text(path.read_text() + " ")
    found = context(tmp_path / "engine", max_running_requests=1, max_waiting_requests=1)
    with pytest.raises(ManifestError, match="has changed since the build"):
        load_llm_engine(found, found.engine_folder())


def test_an_unknown_engine_says_which_are_known(tmp_path):
    folder = folders.make_folder(tmp_path / "x", folders.byte_level(), "llm", engine="vllm")
    found = context(folder)
    with pytest.raises(ManifestError, match="'vllm'; an LLM can run on openvino, tensorrt-llm"):
        load_llm_engine(found, found.engine_folder())


# --- generation ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3])
def test_deltas_hold_only_the_new_ids_of_cumulative_outputs(load, step):
    engine = load()
    library = library_of(engine)
    library.answer, library.ids_per_step = lambda _: itertools.count(100), step
    sink = ask(engine, max_tokens=8)
    assert sink.wait().finish_reason == "length"
    assert sink.ids == list(range(100, 108))
    assert [len(d.token_ids) for d in sink.deltas] == ([1] * 8 if step == 1 else [3, 3, 2])
    assert library.requests[0].prompt_token_ids == [5, 6, 7]


@pytest.mark.parametrize("end", [1, 2])
def test_any_end_token_stops_and_stays_among_the_ids(load, end):
    engine = load(eos=(1, 2))
    library_of(engine).answer = lambda _: iter((40, 41, end, 42))
    sink = ask(engine)
    assert sink.wait() == Delta((end,), "stop")
    assert sink.ids == [40, 41, end]


def test_requests_run_concurrently(load):
    engine = load()
    library_of(engine).go_on.clear()
    sinks = [ask(engine, (i, i + 1)) for i in range(2, 6)]
    assert not any(sink.started.is_set() for sink in sinks)
    assert engine.stats().running == 4
    library_of(engine).go_on.set()
    assert [sink.wait().finish_reason for sink in sinks] == ["length"] * 4
    assert sinks[0].ids == [3, 2, 3, 2, 3, 2, 3, 2]


def test_cancelling_aborts_in_the_library(load):
    engine = load()
    library = library_of(engine)
    library.answer = lambda _: itertools.count(100)
    sink = ask(engine, max_tokens=10**9)
    assert sink.started.wait(WAIT_S)
    engine.cancel(sink.number)
    assert sink.wait() == Delta((), "cancelled")
    assert library.aborted == [library.requests[0].request_id]


def test_cancelling_before_the_start_never_reaches_the_library(load):
    engine = load()
    sink = FakeSink()
    # On the loop's own thread, so that the request's task can't begin in between.
    engine._loop.call_soon_threadsafe(lambda: engine.cancel(engine.submit((5,), GREEDY, sink)))
    assert sink.wait() == Delta((), "cancelled")
    assert library_of(engine).requests == []


def test_cancelling_an_ended_request_does_nothing(load):
    engine = load()
    sink = ask(engine, max_tokens=1)
    sink.wait()
    engine.cancel(sink.number)
    engine.cancel(12345)
    assert ask(engine, max_tokens=1).wait().finish_reason == "length"
    assert library_of(engine).aborted == []


def test_an_error_of_the_library_ends_that_request_alone(load):
    def answer(prompt):
        yield 50
        if prompt[0] == 13:
            raise RuntimeError("CUDA out of memory")
        yield from itertools.count(51)

    engine = load()
    library_of(engine).answer = answer
    good, bad = ask(engine, (5,)), ask(engine, (13,))
    last = bad.wait()
    assert (last.finish_reason, str(last.error)) == ("error", "CUDA out of memory")
    assert good.wait() == Delta((57,), "length")


def test_a_refused_request_ends_with_the_librarys_error(load):
    engine = load(eos=())
    last = ask(engine).wait()
    assert last.finish_reason == "error"
    assert "end_id" in str(last.error)


def test_an_unknown_finish_reason_is_an_error(load, monkeypatch):
    engine = load()
    monkeypatch.setattr(
        tensorrt_llm.RequestOutput, "_step", lambda output: output._finish("timeout")
    )
    assert str(ask(engine).wait().error) == "the engine ended a request by 'timeout'"


# --- limits ----------------------------------------------------------------------------------


def test_running_and_waiting_requests_are_limited(load):
    engine = load(running=1, waiting=1)
    library_of(engine).go_on.clear()
    taken = [ask(engine), ask(engine)]
    assert (engine.stats().running, engine.stats().waiting) == (1, 1)
    assert math.isnan(engine.stats().kv_cache_used)
    with pytest.raises(Overloaded, match=r"^2 requests are running or waiting.*try again later"):
        ask(engine)
    library_of(engine).go_on.set()
    assert all(sink.wait().finish_reason for sink in taken)
    assert ask(engine).wait().finish_reason


def test_the_plans_batch_size_limits_running_requests(load):
    engine = load(plan={"max_batch_size": 3}, running=4, waiting=2)
    library_of(engine).go_on.clear()
    for _ in range(5):
        ask(engine)
    assert (engine.stats().running, engine.stats().waiting) == (3, 2)
    with pytest.raises(Overloaded):
        ask(engine)


def test_closing_ends_running_requests(load):
    engine = load()
    library_of(engine).go_on.clear()
    sinks = [ask(engine) for _ in range(3)]
    engine.close()
    assert [sink.wait() for sink in sinks] == [Delta((), "cancelled")] * 3
    assert library_of(engine).is_shut_down


# --- sampling --------------------------------------------------------------------------------


def fields(**changes) -> dict[str, object]:
    """What is asked for beyond the library's defaults."""
    made, default = sampling_params(params(**changes), (1, 2)), tensorrt_llm.SamplingParams()
    names = tensorrt_llm.SamplingParams.__dataclass_fields__
    return {n: v for n in names if (v := getattr(made, n)) != getattr(default, n)}


COMMON = {
    "end_id": 1,
    "pad_id": 1,
    "stop_token_ids": [2],
    "include_stop_str_in_output": True,
    "max_tokens": 8,
    "min_tokens": 0,
    "seed": 7,
    "detokenize": False,
}


def test_greedy_asks_for_the_likeliest_token():
    assert fields() == COMMON | {"top_k": 1}
    assert fields(temperature=0.7, top_k=1) == COMMON | {"top_k": 1}


def test_sampling_passes_on_its_limits():
    drawn = {"temperature": 0.7, "top_p": 0.9}
    assert fields(**drawn) == COMMON | drawn, "top_k 0 is no limit"
    assert fields(**drawn, top_k=5, min_tokens=3) == COMMON | drawn | {"top_k": 5, "min_tokens": 3}


@pytest.mark.parametrize(
    ("guide", "field", "value"),
    [
        (Guide("json"), "json_object", True),
        (Guide("json_schema", "{}"), "json", "{}"),
        (Guide("regex", "a+"), "regex", "a+"),
        (Guide("ebnf_grammar", "root ::= x"), "grammar", "root ::= x"),
    ],
)
def test_a_guide_has_a_field_for_its_type(guide, field, value):
    asked = fields(guide=guide)["guided_decoding"]
    assert asked == tensorrt_llm.GuidedDecodingParams(**{field: value})


def test_only_penalties_that_change_something_are_passed_on():
    asked = {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": -0.5}
    assert fields(**asked) == COMMON | {"top_k": 1} | asked


@pytest.mark.parametrize(
    ("name", "value", "neutral"),
    [
        ("repetition_penalty", 1.2, "1.0"),
        ("presence_penalty", 0.5, "0.0"),
        ("frequency_penalty", -0.5, "0.0"),
    ],
)
def test_penalties_need_the_sampler_that_has_them(load, name, value, neutral):
    engine = load()
    with pytest.raises(RequestError) as caught:
        ask(engine, **{name: value})
    assert str(caught.value) == f"{name}: {value} given; this engine offers only {neutral}"
    assert ask(engine).wait().finish_reason


def test_penalties_reach_the_full_sampler(load):
    engine = load(CONFIG | {"sampler_type": "TRTLLMSampler"})
    ask(engine, presence_penalty=0.5).wait()
    assert library_of(engine).requests[0].sampling_params.presence_penalty == 0.5
