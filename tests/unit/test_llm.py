"""`llm` over an engine under the test's control: prompts, limits, stopping, gone clients."""

import json
import logging

import pytest

from ensembles.manifest import Sampling
from python_backends import llm
from python_backends.llm import LlmStage
from python_backends.stage import Overloaded, RequestError
from tests.fakes import folders
from tests.fakes.serving import WAIT_S, FakeLlm, FakeStream, context, tensors


@pytest.fixture
def engine(monkeypatch):
    engine = FakeLlm(max_request_tokens=60)
    monkeypatch.setattr(llm, "load_llm_engine", lambda *_: engine)
    monkeypatch.setattr(llm.ChunkPacer, "is_due", lambda *_: True)
    return engine


@pytest.fixture
def tokenizer():
    return folders.chat_tokenizer()


@pytest.fixture
def stage(engine, tokenizer, tmp_path):
    path = folders.make_folder(
        tmp_path / "cpu", tokenizer, "llm", max_tokens=64, sampling=Sampling(max_tokens=16)
    )
    stage = LlmStage(context(path))
    yield stage
    stage.close()


def start(stage: LlmStage, request_id: str = "", **inputs) -> FakeStream:
    stream = FakeStream(tensors(**({"stream": True} | inputs)), id=request_id)
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


@pytest.mark.parametrize("inputs", [{}, {"text_input": "a", "messages": "[]"}])
def test_exactly_one_prompt_is_needed(stage, inputs):
    with pytest.raises(RequestError, match="exactly one of them is needed"):
        start(stage, **inputs)


def test_an_empty_prompt_is_refused(stage):
    with pytest.raises(RequestError, match="text_input: empty"):
        start(stage, text_input="")


def test_a_prompt_beyond_the_engine_is_refused_with_the_limit(stage):
    with pytest.raises(RequestError) as caught:
        start(stage, text_input="\x00" * 60)
    assert str(caught.value) == (
        "prompt: 60 tokens; at most 59 are possible, prompt and answer share 60"
    )


def test_room_behind_the_prompt_bounds_the_answer(stage, engine):
    start(stage, text_input="\x00" * 50)
    assert engine.params[0].max_tokens == 10, "the default is cut"
    with pytest.raises(RequestError, match="from 1 to 10 fit behind this prompt"):
        start(stage, text_input="\x00" * 50, max_tokens=11)


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


def test_a_client_that_goes_while_it_waits_is_noticed(stage, engine):
    stream = start(stage, text_input="Hi")
    stream.cancelled = True
    assert engine.was_cancelled.wait(WAIT_S)
    engine.give(0, reason="cancelled")
    assert stream.last("finish_reason") == ["cancelled"]


def test_a_client_that_goes_while_it_reads_gets_no_more(stage, engine, tokenizer):
    stream = start(stage, text_input="Hi")
    ids = tokenizer.encode("one two").ids
    engine.give(0, ids[:1])
    stream.cancelled = True
    engine.give(0, ids[1:])
    engine.give(0, ids)
    assert 0 in engine.cancelled
    assert (len(stream.sent), stream.finals) == (2, 1)


def test_an_error_of_the_engine_ends_the_stream_neutrally(stage, engine, caplog):
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


def test_closing_ends_the_engine(engine, tokenizer, tmp_path):
    stage = LlmStage(context(folders.make_folder(tmp_path / "cpu", tokenizer, "llm")))
    stage.close()
    assert engine.is_closed
