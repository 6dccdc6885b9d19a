"""`llm` with a fake engine: prompts, limits, stop requests, disconnected clients, metrics."""

import itertools
import json
import logging
import threading
import time

import numpy as np
import pytest
from tokenizers import processors

from ensembles.manifest import AnswerPolicy, ManifestError, Prompt, Sampling
from ensembles.metrics import (
    CONTEXT,
    INTER_TOKEN,
    ITERATION_REQUESTS,
    ITERATIONS,
    KV_CACHE_USED,
    TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
)
from python_backends import deadline
from python_backends.engines.llm_engine import EngineStats
from python_backends.errors import Overloaded, RequestError
from python_backends.generation.timeline import EngineMetrics
from python_backends.stages import llm
from python_backends.stages.llm import LlmStage
from tests.fakes import folders
from tests.fakes.serving import WAIT_S, FakeLlm, FakeMeter, FakeStream, context, strings, tensors


@pytest.fixture
def engine(monkeypatch):
    engine = FakeLlm(max_request_tokens=1000)
    monkeypatch.setattr(llm, "load_llm_engine", lambda *_: engine)
    monkeypatch.setattr(llm.ChunkPacer, "is_due", lambda *_: True)
    return engine


@pytest.fixture
def tokenizer():
    return folders.chat_tokenizer()


@pytest.fixture
def meter():
    return FakeMeter()


@pytest.fixture
def stage(engine, tokenizer, tmp_path, meter):
    path = folders.make_folder(
        tmp_path / "cpu", tokenizer, "llm", max_tokens=64, sampling=Sampling(max_tokens=16)
    )
    stage = LlmStage(context(path, meter=meter))
    yield stage
    stage.close()
    assert not stage._poll_thread.is_alive()


def start(stage: LlmStage, request_id: str = "", is_cancelled=None, **inputs) -> FakeStream:
    stream = FakeStream(tensors(**({"stream": True} | inputs)), id=request_id)
    if is_cancelled:
        stream.is_cancelled = is_cancelled
    stage.start(stream)
    return stream


def test_an_answer_is_streamed_in_order(stage, engine, tokenizer):
    stream = start(stage, text_input="Hello")
    answer = tokenizer.encode("It's raining 😀!").ids
    for token in answer:
        engine.give(0, [token])
    engine.give(0, reason="stop")
    assert stream.text == "It's raining 😀!"
    assert stream.finals == 1
    assert sum(int(o["num_output_tokens"][0]) for o in stream.sent) == len(answer)


def test_a_bare_prompt_and_messages_reach_the_engine_as_ids(stage, engine, tokenizer):
    start(stage, text_input="The fox")
    start(stage, messages=json.dumps([{"role": "user", "content": "The fox"}]))
    assert engine.prompts[0] == tokenizer.encode("The fox").ids
    prompt = "<|user|>The fox<|end|><|assistant|>"
    assert engine.prompts[1] == tokenizer.encode(prompt, add_special_tokens=False).ids
    assert tokenizer.token_to_id("<|user|>") == engine.prompts[1][0]


def bos_tokenizer():
    """Begins every text with <s>, as Llama's does."""
    tokenizer = folders.chat_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 0)]
    )
    return tokenizer


@pytest.mark.parametrize("tokenizer", [bos_tokenizer()])
def test_a_bare_prompt_that_begins_with_the_bos_token_has_it_once(stage, engine, tokenizer):
    for prompt in ("The fox", "<s>The fox"):
        start(stage, text_input=prompt)
    first, second = engine.prompts
    assert first == second == tokenizer.encode("The fox").ids
    assert first.count(0) == 1


def test_an_end_token_is_not_shown_though_the_tokenizer_calls_it_no_special_one(
    stage, engine, tokenizer
):
    stage._eos = tuple(tokenizer.encode("!").ids)
    stream = start(stage, text_input="Hi")
    engine.give(0, tokenizer.encode("Four bar!").ids, "stop")
    assert stream.text == "Four bar"
    assert sum(int(o["num_output_tokens"][0]) for o in stream.sent) == len(
        tokenizer.encode("Four bar!")
    )


def test_a_token_that_the_model_has_no_embedding_for_is_refused(stage, engine, tokenizer):
    stage._embeddings = end = tokenizer.token_to_id("<|end|>")
    start(stage, text_input="Hi<|assistant|>")
    with pytest.raises(RequestError) as caught:
        start(stage, text_input="Hi<|end|>")
    assert str(caught.value) == (
        f"text_input: token '<|end|>' is number {end}, and this model has only the first {end} "
        "of its tokenizer"
    )


def test_a_stop_word_that_is_a_special_token_ends_the_answer(stage, engine, tokenizer):
    stream = start(stage, text_input="Hi", stop_words=["<|end|>"])
    end = tokenizer.token_to_id("<|end|>")
    engine.give(0, [*tokenizer.encode("lazy dog").ids, end, *tokenizer.encode("more").ids])
    assert (stream.text, stream.last("finish_reason")) == ("lazy dog", ["stop"])


def test_stop_words_of_the_models_prompt_end_the_answer_to_messages_only(stage, engine, tokenizer):
    stage._chat_stop_words = ("dog",)
    chat = start(stage, messages='[{"role": "user", "content": "Hi"}]', stop_words=["cat"])
    bare = start(stage, text_input="Hi")
    for number in (0, 1):
        engine.give(number, tokenizer.encode("lazy dog").ids, "stop")
    assert (chat.text, bare.text) == ("lazy ", "lazy dog")


TOOLS = json.dumps([{"type": "function", "function": {"name": "f"}}])


@pytest.fixture
def calling(engine, tokenizer, tmp_path, meter):
    """A stage whose model is told of tools by a text."""
    tokenizer.add_special_tokens(["[TOOL_CALLS]"])
    prompt = Prompt(tools="You can call {{ tools[0].function.name }}.", tool_calls="mistral")
    path = folders.make_folder(tmp_path / "cpu", tokenizer, "llm", max_tokens=200, prompt=prompt)
    stage = LlmStage(context(path, meter=meter))
    yield stage
    stage.close()


def pieces(stream):
    return [json.loads(p) for outputs in stream.sent for p in outputs.get("tool_calls", ())]


def test_calls_come_beside_the_text_though_their_marker_is_a_special_token(
    calling, engine, tokenizer
):
    messages = json.dumps([{"role": "user", "content": "Hi"}])
    stream = start(calling, messages=messages, tools=TOOLS)
    prompt = tokenizer.decode(engine.prompts[0], skip_special_tokens=False)
    assert "You can call f." in prompt
    answer = 'It is[TOOL_CALLS][{"name": "f", "arguments": {"a": 1}}]'
    for token in tokenizer.encode(answer, add_special_tokens=False).ids:
        engine.give(0, [token])
    engine.give(0, reason="stop")
    assert (stream.text, stream.last("finish_reason")) == ("It is", ["tool_calls"])
    found = pieces(stream)
    assert len(found) > 2
    assert found[0] | {"arguments": ""} == {"index": 0, "name": "f", "arguments": ""}
    assert "".join(piece["arguments"] for piece in found) == '{"a": 1}'


def test_where_one_call_is_wanted_the_engine_stops_behind_it(calling, engine, tokenizer):
    messages = json.dumps([{"role": "user", "content": "Hi"}])
    stream = start(
        calling, messages=messages, tools=TOOLS, parallel_tool_calls=np.array([False]), stream=False
    )
    answer = '[TOOL_CALLS][{"name": "f", "arguments": {}}, {"name": "f"'
    engine.give(0, tokenizer.encode(answer, add_special_tokens=False).ids)
    assert engine.cancelled == [0]
    assert stream.last("finish_reason") == ["tool_calls"]
    assert pieces(stream) == [{"index": 0, "name": "f", "arguments": "{}"}]


def test_an_engine_that_says_nothing_of_tools_refuses_them(stage):
    with pytest.raises(RequestError, match="engine says nothing of them"):
        start(stage, messages='[{"role": "user", "content": "Hi"}]', tools=TOOLS)


@pytest.mark.parametrize("inputs", [{}, {"text_input": "a", "messages": "[]"}])
def test_exactly_one_prompt_is_needed(stage, inputs):
    with pytest.raises(RequestError, match="exactly one of them is needed"):
        start(stage, **inputs)


def test_an_empty_prompt_is_refused(stage):
    with pytest.raises(RequestError, match="text_input: empty"):
        start(stage, text_input="")


def test_a_prompt_beyond_the_model_is_refused_with_the_limit(stage):
    with pytest.raises(RequestError) as caught:
        start(stage, text_input="\x00" * 64)
    assert str(caught.value) == (
        "prompt: 64 tokens given; the maximum context length is 64 tokens, prompt and answer "
        "together"
    )


def test_the_room_after_the_prompt_limits_the_answer(stage, engine):
    start(stage, text_input="\x00" * 54)
    assert engine.params[0].max_tokens == 10, "the default is cut"
    with pytest.raises(RequestError, match="from 1 to 10 fit behind this prompt"):
        start(stage, text_input="\x00" * 54, max_tokens=11)


def test_the_end_token_can_only_be_the_models_own(stage, engine):
    start(stage, text_input="Hi", end_id=np.array([1], np.int32))
    for end_id in (7, -1):
        with pytest.raises(RequestError) as caught:
            start(stage, text_input="Hi", end_id=np.array([end_id], np.int32))
        assert str(caught.value) == f"end_id: {end_id} given; this model ends with [1]"
    assert len(engine.prompts) == 1


def test_any_padding_token_is_accepted_because_nothing_is_padded(stage, engine):
    start(stage, text_input="Hi")
    start(stage, text_input="Hi", pad_id=np.array([7], np.int32))
    assert engine.prompts[0] == engine.prompts[1]


def test_a_stop_word_cancels_in_the_engine(stage, engine, tokenizer):
    stream = start(stage, text_input="Hi", stop_words=["lazy"])
    engine.give(0, tokenizer.encode("the lazy dog").ids)
    assert (stream.text, stream.last("finish_reason")) == ("the ", ["stop"])
    assert engine.cancelled == [0]
    engine.give(0, reason="cancelled")
    assert (stream.finals, len(stream.sent)) == (1, 1)


def test_a_generation_that_ends_by_itself_is_not_cancelled(stage, engine, tokenizer):
    start(stage, text_input="Hi")
    engine.give(0, tokenizer.encode("a").ids, "stop")
    assert engine.cancelled == []


def test_a_client_that_disconnects_while_waiting_is_cancelled(stage, engine):
    stream = start(stage, text_input="Hi")
    stream.cancelled = True
    assert engine.was_cancelled.wait(WAIT_S)
    engine.give(0, reason="cancelled")
    assert stream.last("finish_reason") == ["cancelled"]


def test_a_deadline_ends_a_request_that_waits_or_is_answered(stage, engine, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(deadline.time, "monotonic", lambda: now[0])
    late = FakeStream(tensors(text_input="Hi", stream=True), timeout_us=1_500_000)
    stage.start(late)
    patient = start(stage, text_input="Hi")
    assert not engine.cancelled, "1.5 s are not over"
    now[0] = 1.6
    assert engine.was_cancelled.wait(WAIT_S)
    engine.give(0, reason="cancelled")
    assert str(late.error) == "timeout: 1500000 us asked for; this time has passed"
    assert (late.outcome, set(engine.cancelled), patient.finals) == ("cancelled", {0}, 0)


def test_a_client_that_disconnects_while_reading_is_cancelled(stage, engine, tokenizer):
    stream = start(stage, text_input="Hi")
    engine.give(0, tokenizer.encode("one").ids)
    stream.cancelled = True
    assert engine.was_cancelled.wait(WAIT_S)
    engine.give(0, reason="cancelled")
    assert (stream.last("finish_reason"), stream.finals) == (["cancelled"], 1)


def test_the_engines_thread_never_asks_whether_a_client_is_there(stage, engine, tokenizer):
    """The answer takes it longer than a chunk."""
    askers, asked = set(), threading.Event()

    def is_cancelled():
        askers.add(threading.current_thread())
        asked.set()
        return False

    stream = start(stage, text_input="Hi", is_cancelled=is_cancelled)
    for token in tokenizer.encode("one two three").ids:
        engine.give(0, [token])
    engine.give(0, reason="stop")
    start(stage, text_input="Hi", is_cancelled=is_cancelled)
    assert asked.wait(WAIT_S)
    assert len(stream.sent) > 1
    assert askers == {stage._poll_thread}


def test_an_engine_error_ends_the_stream_as_a_server_error(stage, engine, caplog):
    stream = start(stage, text_input="my secret")
    engine.give(0, reason="error")
    assert isinstance(stream.error, RuntimeError)
    assert not isinstance(stream.error, RequestError)
    assert "secret" not in caplog.text


def test_a_stream_that_cannot_be_sent_ends_alone(stage, engine, tokenizer, monkeypatch, caplog):
    broken, healthy = (start(stage, text_input=t) for t in ("my secret", "b"))
    monkeypatch.setattr(broken, "send", lambda *_, **__: 1 / 0)
    ids = tokenizer.encode("answer").ids
    with caplog.at_level(logging.ERROR):
        engine.give(0, ids)
        engine.give(1, ids, "stop")
    assert isinstance(broken.error, ZeroDivisionError), "the client learns that it is over"
    assert broken.finals == 1
    assert engine.cancelled == [0]
    assert healthy.text == "answer"
    assert "ZeroDivisionError" in caplog.text
    assert "secret" not in caplog.text


def test_a_full_queue_refuses_and_keeps_serving(stage, engine):
    engine.refuses = Overloaded("32 requests are running or waiting; try again later")
    with pytest.raises(Overloaded, match="try again later"):
        start(stage, text_input="Hi")
    engine.refuses = None
    stream = start(stage, text_input="Hi")
    engine.give(0, reason="stop")
    assert stream.finals == 1


def test_a_stop_request_ends_every_request_of_its_id_and_no_other(stage, engine):
    for request_id in ("a", "b", "a", ""):
        start(stage, request_id, text_input="Hi")
    stop = start(stage, "a", stop=True)
    assert engine.cancelled == [0, 2]
    assert (stop.finals, stop.last("finish_reason"), stop.text) == (1, ["cancelled"], "")


def test_a_stop_request_without_an_id_ends_nothing(stage, engine):
    start(stage, "", text_input="Hi")
    assert start(stage, "", stop=True).finals == 1
    assert engine.cancelled == []


def test_a_stop_request_for_an_answer_that_is_over_does_nothing(stage, engine):
    start(stage, "a", text_input="Hi")
    engine.give(0, reason="stop")
    start(stage, "a", stop=True)
    assert engine.cancelled == []


def test_a_failed_check_of_a_client_is_logged_and_repeated(stage, engine, caplog):
    looks = iter([OSError("broken pipe")])

    def is_cancelled():
        for error in looks:
            raise error
        return True

    start(stage, text_input="my secret", is_cancelled=is_cancelled)
    assert engine.was_cancelled.wait(WAIT_S)
    assert "a poll of clients or engine failed; trying again" in caplog.text
    assert "broken pipe" in caplog.text
    assert "secret" not in caplog.text


def test_failing_engine_stats_do_not_end_the_checks_of_clients(stage, engine, monkeypatch):
    asked = threading.Event()

    def stats():
        asked.set()
        raise RuntimeError("no figures")

    monkeypatch.setattr(engine, "stats", stats)
    stream = start(stage, text_input="Hi")
    assert asked.wait(WAIT_S)
    stream.cancelled = True
    assert engine.was_cancelled.wait(WAIT_S)


def test_failing_checks_are_repeated_with_a_pause(stage, monkeypatch):
    monkeypatch.setattr(llm, "POLL_S", 0.01)
    looks, enough = [], threading.Event()

    def is_cancelled():
        looks.append(time.monotonic())
        if len(looks) == 6:
            enough.set()
        raise OSError("broken pipe")

    start(stage, text_input="Hi", is_cancelled=is_cancelled)
    assert enough.wait(WAIT_S)
    assert looks[5] - looks[0] >= 4 * 0.01


def test_many_clients_are_checked_less_often(stage, monkeypatch):
    monkeypatch.setattr(llm, "POLL_STREAM_S", 0.05)
    looks, again = [], threading.Semaphore(0)

    def is_cancelled():
        looks.append(time.monotonic())
        again.release()
        return False

    start(stage, text_input="Hi", is_cancelled=is_cancelled)
    for _ in range(3):
        start(stage, text_input="Hi")
    before = len(looks)
    for _ in range(before + 3):  # the pause that had begun, and a whole one
        assert again.acquire(timeout=WAIT_S)
    assert looks[before + 2] - looks[before + 1] >= 4 * 0.05


def test_engine_stats_are_shown_until_the_engine_is_idle(stage, engine, monkeypatch):
    """An engine may be at work for a little longer than the last stream that it served."""
    looks, looked, idle = itertools.count(), threading.Event(), threading.Event()

    def stats():
        looked.set()
        return EngineStats(running=int(next(looks) < 3), waiting=0, kv_cache_used=0.0)

    monkeypatch.setattr(engine, "stats", stats)
    monkeypatch.setattr(stage._engine_metrics, "show", lambda s: s.running == 0 and idle.set())
    start(stage, text_input="Hi")
    assert looked.wait(WAIT_S)
    engine.give(0, reason="stop")
    assert idle.wait(WAIT_S)


@pytest.mark.parametrize("room", [64, 65])
def test_a_kv_cache_that_holds_every_request_is_accepted(engine, tokenizer, tmp_path, room):
    engine.max_request_tokens = room
    path = folders.make_folder(tmp_path / "cpu", tokenizer, "llm", max_tokens=64)
    stage = LlmStage(context(path))
    assert not engine.is_closed
    stage.close()


def test_a_kv_cache_smaller_than_the_model_does_not_load(engine, tokenizer, tmp_path):
    engine.max_request_tokens = 63
    path = folders.make_folder(tmp_path / "cpu", tokenizer, "llm", max_tokens=64)
    with pytest.raises(ManifestError) as caught:
        LlmStage(context(path))
    assert str(caught.value) == (
        "the KV cache holds a request of 63 tokens, the model's spec allows 64: raise "
        "kv_cache_tokens in builders/skus, or lower max_tokens in builders/models"
    )
    assert engine.is_closed


def test_closing_ends_the_polling_and_then_the_engine(engine, tokenizer, tmp_path, monkeypatch):
    stage = LlmStage(context(folders.make_folder(tmp_path / "cpu", tokenizer, "llm")))
    watching = []
    monkeypatch.setattr(engine, "close", lambda: watching.append(stage._poll_thread.is_alive()))
    start(stage, text_input="Hi")
    stage.close()
    assert watching == [False]


@pytest.mark.parametrize(
    ("relevance", "num_searched", "is_refused"),
    [
        ([0.3, 0.5], None, True),
        ([0.5, 0.3], None, False),
        ([0.5, 0.3], 30_000, True),
        ([], None, True),
        (None, None, False),
    ],
)
def test_the_best_source_decides_what_is_refused(
    stage, engine, relevance, num_searched, is_refused
):
    stage._policy = AnswerPolicy(min_relevance=0.4, relevance_per_tenfold=0.1, ungrounded="refuse")
    given = {} if relevance is None else {"source_relevance": np.array(relevance, np.float32)}
    given |= {} if num_searched is None else {"num_searched": np.array([num_searched], np.int32)}
    count = 2 if relevance is None else len(relevance)
    stream = start(stage, text_input="Why?", sources=strings(*["A rule."] * count), **given)
    assert [o.get("finish_reason") for o in stream.sent] == ([["ungrounded"]] if is_refused else [])
    if not is_refused:
        engine.give(0, reason="stop")


# --- metrics -----------------------------------------------------------------------------------


def phases(stream: FakeStream) -> list[str]:
    """Their names; checks that they follow each other from the arrival on without a gap."""
    at_s = stream.arrival_s
    for _, start_s, end_s in stream.phases:
        assert start_s == at_s
        assert end_s >= start_s
        at_s = end_s
    return [name for name, _, _ in stream.phases]


def test_a_generation_reports_its_phases_tokens_and_first_token(stage, engine, tokenizer, meter):
    stream = start(stage, text_input="Hello", max_tokens=9)
    ids = tokenizer.encode("abcdef").ids
    assert phases(stream) == ["tokenize"]
    engine.schedule(0)
    assert meter[TIME_TO_FIRST_TOKEN].values == []
    for token in ids:
        engine.give(0, [token])
    engine.give(0, reason="stop")
    assert phases(stream) == ["tokenize", "queue", "prefill", "decode"]
    (first_s,) = meter[TIME_TO_FIRST_TOKEN].values
    assert first_s == pytest.approx(stream.phases[2][2] - stream.arrival_s)
    assert meter[TOKENS, "input"].sum == len(tokenizer.encode("Hello").ids)
    assert meter[TOKENS, "output"].sum == len(ids)
    assert len(meter[TIME_PER_OUTPUT_TOKEN].values) == 1
    assert len(meter[INTER_TOKEN].values) == len(ids) - 1
    assert stream.attributes_set["gen_ai.usage.output_tokens"] == len(ids)
    assert stream.attributes_set["gen_ai.response.finish_reasons"] == ["stop"]
    assert stream.attributes_set["gen_ai.request.max_tokens"] == 9
    assert "Hello" not in str(stream.attributes_set)


def test_tokens_after_a_stop_word_are_not_counted(stage, engine, tokenizer, meter):
    stream = start(stage, text_input="Hi", stop_words=["lazy"])
    engine.schedule(0)
    engine.give(0, tokenizer.encode("the lazy dog").ids)
    told = sum(int(o["num_output_tokens"][0]) for o in stream.sent)
    assert meter[TOKENS, "output"].sum == told == len(tokenizer.encode("the lazy").ids)
    assert (stream.outcome, phases(stream)[-1]) == ("ok", "decode")


def test_a_request_that_is_cancelled_while_waiting_has_no_later_phase(stage, engine, meter):
    stream = start(stage, text_input="Hi")
    engine.give(0, reason="cancelled")
    assert (stream.outcome, phases(stream)) == ("cancelled", ["tokenize", "queue"])
    assert meter[TIME_TO_FIRST_TOKEN].values == meter[TIME_PER_OUTPUT_TOKEN].values == []
    assert meter[TOKENS, "input"].sum == meter[TOKENS, "output"].sum == 0


def test_an_error_in_prefill_ends_that_phase(stage, engine, meter):
    stream = start(stage, text_input="Hi")
    engine.schedule(0)
    engine.give(0, reason="error")
    assert (stream.outcome, phases(stream)) == ("failed", ["tokenize", "queue", "prefill"])
    assert stream.attributes_set["gen_ai.response.finish_reasons"] == ["failed"]


def test_a_broken_stream_reports_its_phases_once(stage, engine, tokenizer, monkeypatch):
    stream = start(stage, text_input="Hi")
    engine.schedule(0)
    monkeypatch.setattr(stream, "send", lambda *_, **__: 1 / 0)
    engine.give(0, tokenizer.encode("a").ids, "stop")
    assert (stream.outcome, phases(stream)) == (
        "failed", ["tokenize", "queue", "prefill", "decode"]
    )  # fmt: skip


def test_one_response_has_no_time_between_chunks(stage, engine, tokenizer, meter):
    start(stage, text_input="Hi", stream=False)
    engine.schedule(0)
    for token in tokenizer.encode("abc").ids:
        engine.give(0, [token])
    engine.give(0, reason="stop")
    assert meter[INTER_TOKEN].values == []


def test_the_context_is_told(stage, meter):
    assert meter[CONTEXT].values == [64]


def test_a_stop_request_is_not_counted(stage):
    assert start(stage, "a", stop=True).outcome is None


def test_steps_of_the_engine_are_counted_once_each():
    meter = FakeMeter()
    shown = EngineMetrics(meter)
    shown.show(EngineStats(2, 0, 0.5, iterations=10, iteration_requests=15))
    shown.show(EngineStats(2, 0, float("nan"), iterations=10, iteration_requests=15))
    shown.show(EngineStats(0, 0, 0.25, iterations=12, iteration_requests=19))
    assert (meter[ITERATIONS].sum, meter[ITERATION_REQUESTS].sum) == (12, 19)
    assert meter[KV_CACHE_USED].values == [0.5, 0.25], "unknown is not shown"
