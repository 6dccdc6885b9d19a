"""The semantic cache: alike questions over the same documents, and nothing else."""

from array import array
from dataclasses import replace

import pytest

from gateway.cache.semantic import Kept, SemanticCache, semantically_cached
from gateway.call import (
    Caller,
    Document,
    Embedded,
    Finished,
    Generate,
    Message,
    Sampling,
    Text,
    Usage,
)
from gateway.errors import Unavailable
from tests.fakes.handlers import Answering, answer, answer_until, call

FINISHED = Finished("stop", Usage(9, 2))
ANSWER = (Text("8123", 2), FINISHED)
VECTORS = {
    "Which port?": (3.0, 0.0),
    "What port?": (0.99, 0.14),
    "Which ports may I not use?": (0.99, 0.14),
    "Which port in 2024?": (0.99, 0.14),
    "Who listens?": (0.0, 1.0),
}
A, B = Caller("key-a", "tenant-a"), Caller("key-b", "tenant-b")


async def embed(asked):
    """As an embedder with two dimensions."""
    yield Embedded((array("f", VECTORS[asked.request.texts[0]]).tobytes(),), Usage(3))


def question(text: str, document: str = "Vebra listens on port 8123.", **more) -> Generate:
    asked = Generate(
        "rag",
        (Message("user", text),),
        sampling=Sampling(temperature=0.0),
        documents=(Document(document),),
    )
    return replace(asked, **more)


def handler(inner, counts=None, clock=lambda: 0.0, embedder=embed):
    cache = SemanticCache(0.97, ttl_s=60.0, clock=clock)
    told = [].append if counts is None else counts.append
    return semantically_cached(inner, cache, embedder, told)


def test_the_same_question_in_other_words():
    inner, counts = Answering(*ANSWER), []
    cached = handler(inner, counts)
    answer(cached, call(question("Which port?")))
    asked = call(question("What port?", stream=True))
    assert answer(cached, asked) == [ANSWER[0], Finished("stop", Usage(9, 2, cached_tokens=9))]
    assert asked.headers["x-cache"] == "semantic; similarity=0.990"
    assert len(inner.calls) == 1
    assert counts == ["semantic"]


@pytest.mark.parametrize(
    ("other", "caller"),
    [
        (question("Who listens?"), A),
        (question("Which ports may I not use?"), A),
        (question("Which port in 2024?"), A),
        (question("What port?", document="Vebra listens on port 9000."), A),
        (question("What port?", model="other"), A),
        (question("What port?", sampling=Sampling(temperature=0.0, max_tokens=3)), A),
        (question("What port?"), B),
        (question("What port?", sampling=Sampling()), A),
        (question("What port?", documents=()), A),
        (question("", messages=(Message("user", "Hi"), Message("user", "What port?"))), A),
    ],
)
def test_anything_else_is_another_question(other, caller):
    inner = Answering(*ANSWER)
    cached = handler(inner)
    answer(cached, call(question("Which port?"), A))
    asked = call(other, caller)
    assert answer(cached, asked) == list(ANSWER)
    assert "x-cache" not in asked.headers
    assert len(inner.calls) == 2


@pytest.mark.parametrize("reason", ["length", "cancelled", "ungrounded"])
def test_only_whole_answers_are_kept(reason):
    inner = Answering(Text("81", 1), Finished(reason, Usage(9, 1)))
    cached = handler(inner)
    for _ in range(2):
        answer(cached, call(question("Which port?")))
    assert len(inner.calls) == 2


def test_a_stream_that_its_client_left_is_not_kept():
    inner = Answering(*ANSWER)
    cached = handler(inner)
    answer_until(cached, call(question("Which port?")), 1)
    answer(cached, call(question("Which port?")))
    assert (len(inner.calls), inner.closed) == (2, 2)


def test_an_answer_is_forgotten_after_its_time():
    now, inner = [0.0], Answering(*ANSWER)
    cached = handler(inner, clock=lambda: now[0])
    for now[0] in (0.0, 59.0, 60.0):
        answer(cached, call(question("Which port?")))
    assert len(inner.calls) == 2


def test_without_an_embedder_the_model_answers():
    broken = Answering(error=Unavailable("the embedder is not ready"))
    cached = handler(Answering(*ANSWER), embedder=broken)
    assert answer(cached, call(question("Which port?"))) == list(ANSWER)


def test_it_keeps_no_more_than_its_share():
    cache = SemanticCache(0.97, ttl_s=60.0)
    kept = Kept((), (1.0,), ANSWER, "1", until_s=cache.clock() + 60)
    for number in range(300):
        cache.keep("popular", kept)
        cache.keep(f"documents {number}", kept)
    assert len(cache._scopes) == 200
    assert len(cache._scopes["popular"]) == 16
    assert "documents 299" in cache._scopes
