"""What each response of a generation contains."""

import numpy as np
import pytest

from ensembles.manifest import AnswerPolicy
from python_backends.engines.llm_engine import CANCELLED, Delta
from python_backends.errors import Overloaded
from python_backends.generation import generation
from python_backends.generation.answer import GroundedAnswer, PlainAnswer
from python_backends.generation.detokenizer import IncrementalDetokenizer, StopWords
from python_backends.generation.generation import ChunkPacer, Generation
from python_backends.generation.timeline import LlmMetrics, Timeline
from tests.fakes.serving import FakeMeter, FakeStream, strings, tensors

WORDS = ["See", " [2]", " and", " [1]", " [2]", " [9]", " [0]", " END", " more"]


class Eager(ChunkPacer):
    """Sends every token."""

    def is_due(self, last_s: float) -> bool:
        return True


SOURCES = {
    "sources": strings("s1", "s2"),
    "source_document": np.array([4, 5], np.int32),
    "source_similarity": np.array([0.9, 0.8], np.float32),
    "source_relevance": np.array([3.0, 2.0], np.float32),
}


def start(stop_words: tuple[str, ...] = (), pacer=None, answer=None, **inputs):
    stream = FakeStream(tensors(**({"stream": True} | inputs)))
    detokenizer = IncrementalDetokenizer(lambda ids: "".join(WORDS[i] for i in ids), len(WORDS))
    timeline = Timeline(stream, 7, LlmMetrics(FakeMeter()))
    stops = StopWords(stop_words)
    answer = answer or PlainAnswer()
    return stream, Generation(stream, 7, detokenizer, stops, answer, pacer or Eager(), timeline)


def test_chunks_come_in_order_and_the_last_one_has_the_reason():
    stream, run = start()
    reasons = [run.on_delta(d) for d in (Delta((0,)), Delta((1, 2)), Delta((3,), "length"))]
    assert reasons == [None, None, "length"]
    assert [o["text_output"] for o in stream.sent] == [["See"], [" [2] and"], [" [1]"]]
    assert ["finish_reason" in o for o in stream.sent] == [False, False, True]
    assert stream.last("finish_reason") == ["length"]
    assert (stream.finals, run.is_over) == (1, True)


def test_tokens_of_each_response_add_up():
    stream, run = start()
    for delta in (Delta((0,)), Delta((1, 2, 3)), Delta((), "stop")):
        run.on_delta(delta)
    assert [int(o["num_output_tokens"][0]) for o in stream.sent] == [1, 3, 0]
    assert [int(o["num_input_tokens"][0]) for o in stream.sent] == [7, 7, 7]
    assert stream.sent[0]["num_output_tokens"].dtype == np.int32


def test_what_the_kv_cache_had_of_the_prompt_comes_last():
    stream, run = start()
    for delta in (Delta((0,), cached_tokens=5), Delta((1,)), Delta((), "stop")):
        run.on_delta(delta)
    assert ["num_cached_tokens" in o for o in stream.sent] == [False, False, True]
    assert stream.last("num_cached_tokens") == [5]


def test_an_answer_that_is_not_streamed_is_one_response():
    stream, run = start(stream=False)
    for delta in (Delta((0,)), Delta((1,)), Delta((2,), "stop")):
        run.on_delta(delta)
    (only,) = stream.sent
    assert only["text_output"] == ["See [2] and"]
    assert only["num_output_tokens"].tolist() == [3]


def test_sources_travel_with_the_first_response_and_citations_with_the_last():
    policy = GroundedAnswer(AnswerPolicy(), ["s1", "s2"], "", 1.0, is_checked=True)
    stream, run = start(answer=policy, **SOURCES)
    for delta in (Delta((0, 1)), Delta((2, 3)), Delta((4, 5, 6), "stop")):
        run.on_delta(delta)
    assert [SOURCES.keys() <= o.keys() for o in stream.sent] == [True, False, False]
    assert ["citations" in o for o in stream.sent] == [False, False, True]
    assert stream.last("citations") == [2, 1], "in order, once each, none that is no source"
    assert stream.sent[-1]["citations"].dtype == np.int32


def test_without_sources_there_are_no_citations():
    stream, run = start()
    run.on_delta(Delta((1,), "stop"))
    assert "citations" not in stream.sent[0]


def test_scores_without_texts_give_no_citations():
    stream, run = start(source_document=SOURCES["source_document"])
    run.on_delta(Delta((1,), "stop"))
    assert (stream.finals, "citations" in stream.sent[0]) == (1, False)


def test_a_stop_word_ends_the_text_before_itself_and_later_ids_do_not_count():
    stream, run = start(stop_words=(" END",))
    assert run.on_delta(Delta((0, 7, 8, 8))) == "stop"
    assert (stream.text, stream.last("finish_reason"), stream.finals) == ("See", ["stop"], 1)
    assert stream.last("num_output_tokens") == [2]
    assert run.on_delta(Delta((8,), "length")) is None, "the engine's own end comes too late"
    assert len(stream.sent) == 1


def test_text_held_for_a_stop_word_is_given_at_the_end():
    stream, run = start(stop_words=(" ENDLESS",))
    run.on_delta(Delta((0, 7)))
    run.on_delta(Delta((), "length"))
    assert [o["text_output"] for o in stream.sent] == [["See"], [" END"]]


def test_nothing_is_sent_after_a_cancellation():
    stream, run = start()
    run.on_delta(Delta((0,)))
    assert run.on_delta(CANCELLED) == "cancelled"
    assert stream.last("finish_reason") == ["cancelled"]
    assert run.on_delta(Delta((2,))) is None
    assert stream.finals == 1


def test_the_engines_request_error_reaches_the_client():
    stream, run = start()
    refused = Overloaded("the backend's queue is full")
    assert run.on_delta(Delta((0,), "error", refused)) == "error"
    assert stream.error is refused
    assert (stream.sent, stream.finals) == ([], 1)


def test_an_engine_error_without_a_reason_is_a_server_error():
    stream, run = start()
    run.on_delta(Delta((0,)))
    assert run.on_delta(Delta((), "error")) == "error"
    assert isinstance(stream.error, RuntimeError)
    assert stream.finals == 1


def test_the_prompt_is_echoed_only_when_asked_for():
    stream, run = start(stream=False, text_input="Q: ", exclude_input_in_output=False)
    run.on_delta(Delta((0,), "stop"))
    assert stream.text == "Q: See"
    streamed = {
        "exclude_input_in_output": False
    }  # as NVIDIA's postprocessing: never while streaming
    for value in ({}, {"stream": False, "exclude_input_in_output": True}, streamed):
        stream, run = start(text_input="Q: ", **value)
        run.on_delta(Delta((0,), "stop"))
        assert stream.text == "See"


def test_tokens_are_joined_while_sending_is_not_due():
    class Never(ChunkPacer):
        def is_due(self, last_s: float) -> bool:
            return False

    stream, run = start(pacer=Never())
    for delta in (Delta((0,)), Delta((1,)), Delta((2,), "stop")):
        run.on_delta(delta)
    assert [o["text_output"] for o in stream.sent] == [["See [2] and"]]


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(generation.time, "perf_counter", lambda: now[0])
    return now


@pytest.mark.parametrize("streams", [1, 4])
def test_sending_takes_at_most_a_share_of_the_time(clock, streams):
    pacer = ChunkPacer()
    for cost_s in (0.002, 0.004):  # sending gets dearer: fewer chunks
        for _ in range(200):
            pacer.sent(cost_s)
        clock[0] += 1e3
        began_s = clock[0]
        for _ in range(streams):
            assert pacer.is_due(began_s - 1.0), "a new round"
            clock[0] += cost_s
            pacer.sent(cost_s)
        sent_s, gap_s = clock[0], cost_s * streams / ChunkPacer.SHARE
        clock[0] = began_s + 0.99 * gap_s
        assert not pacer.is_due(sent_s)
        assert pacer.is_due(0.0), "a first chunk is sent at once"
        clock[0] = began_s + 1.01 * gap_s
        assert pacer.is_due(sent_s)


def test_a_long_stream_goes_on_sending_beside_many_short_ones(clock):
    """Each short one has a first chunk, and they come faster than their cost allows."""
    pacer, sent_s, chunks = ChunkPacer(), clock[0], 0
    pacer.is_due(0.0)
    for _ in range(1_000):
        clock[0] += 0.02
        assert pacer.is_due(0.0), "a short stream's first chunk"
        pacer.sent(0.01)
        if pacer.is_due(sent_s):
            sent_s, chunks = clock[0], chunks + 1
    assert 18 <= chunks <= 20, "each second"


def test_all_streams_send_in_the_same_round(clock):
    """Also those that began between two rounds: the server then works between few steps."""
    pacer, sent_s, rounds = ChunkPacer(), dict.fromkeys(range(3), 0.0), []
    for step in range(400):
        senders = [n for n in sent_s if step >= 7 * n and pacer.is_due(sent_s[n])]
        for n in senders:
            sent_s[n] = clock[0] + 1e-4
            pacer.sent(2e-4)
        rounds += [senders] if senders else []
        clock[0] += 0.001
    assert rounds[:3] == [[0], [1], [2]], "each first chunk at once"
    assert 10 < len(rounds) < 20
    assert all(senders == [0, 1, 2] for senders in rounds[3:])
