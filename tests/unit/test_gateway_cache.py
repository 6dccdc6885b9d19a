"""The exact cache: what is kept, for whom, how long, and that a hit is the answer again."""

import asyncio
import contextlib
from dataclasses import replace

import pytest

from gateway.cache import exact
from gateway.cache.events import UnreadableEntry, pack, unpack
from gateway.cache.exact import ExactCache
from gateway.cache.store import MemoryStore
from gateway.call import (
    Caller,
    Embed,
    Embedded,
    Finished,
    Quote,
    Rank,
    Ranked,
    Source,
    Sources,
    Text,
    Usage,
)
from gateway.errors import UpstreamFailed
from gateway.shared_store import StoreDown
from tests.fakes.handlers import Answering, answer, answer_until, call, generate

FINISHED = Finished("stop", Usage(5, 2), citations=(1,), quotes=(Quote("a", "b", 1),), grounded=0.5)
ANSWER = (Sources((Source("text", 0, 0.5, 0.25),)), Text("No", 1), Text("on.", 1), FINISHED)
ROWS = Embedded((b"\x00\x01\xff", b"\x02"), Usage(7))
LOGITS = Ranked((0.1, -3.5), Usage(9))
EMBED = Embed("embed", ("a", "b"))
RANK = Rank("rerank", "query", ("a", "b"))
A, B = Caller("key-a", "tenant-a"), Caller("key-b", "tenant-b")


def memory(bytes_limit: int = 100_000, entry_bytes: int = 10_000, clock=lambda: 0.0) -> ExactCache:
    store = MemoryStore(bytes_limit, clock)
    return ExactCache(store, ttl_s=60.0, entry_bytes=entry_bytes)


def cached(inner, cache, counts=None):
    return exact.cached(inner, cache, [].append if counts is None else counts.append)


def headers_of(handler, request, caller=A) -> str | None:
    asked = call(request, caller)
    answer(handler, asked)
    return asked.headers.get("x-cache")


@pytest.mark.parametrize(
    ("request_", "events"), [(generate(), ANSWER), (EMBED, (ROWS,)), (RANK, (LOGITS,))]
)
def test_a_hit_is_the_same_answer_without_the_model(request_, events):
    inner = Answering(*events)
    handler = cached(inner, memory())
    first = answer(handler, call(request_))
    asked = call(request_)
    again = answer(handler, asked)
    assert first == list(events)
    assert len(inner.calls) == 1
    assert asked.headers["x-cache"] == "hit"
    assert again[:-1] == first[:-1]
    usage = first[-1].usage
    assert again[-1] == replace(first[-1], usage=replace(usage, cached_tokens=usage.input_tokens))


def test_a_stream_and_a_whole_answer_are_the_same():
    inner, counts = Answering(*ANSWER), []
    handler = cached(inner, memory(), counts)
    assert headers_of(handler, generate()) == "miss"
    assert headers_of(handler, replace(generate(), stream=True)) == "hit"
    assert counts == ["miss", "hit"]


def test_the_version_of_the_model_comes_back():
    inner = Answering(*ANSWER)

    async def versioned(asked):
        asked.headers |= {"x-model-version": "3", "x-ratelimit-remaining": "7"}
        async for event in inner(asked):
            yield event

    handler = cached(versioned, memory())
    answer(handler, call(generate()))
    asked = call(generate())
    answer(handler, asked)
    assert asked.headers == {"x-model-version": "3", "x-cache": "hit"}


@pytest.mark.parametrize(
    "request_",
    [
        generate(temperature=0.7),
        generate(temperature=None),
        generate(seed=1),
    ],
)
def test_what_is_drawn_anew_is_never_kept(request_):
    inner = Answering(*ANSWER)
    handler = cached(inner, memory())
    assert [headers_of(handler, request_) for _ in range(2)] == [None, None]
    assert len(inner.calls) == 2


@pytest.mark.parametrize(
    "inner",
    [
        Answering(Text("No", 1), error=UpstreamFailed("the model failed")),
        Answering(Text("No", 1), Finished("cancelled", Usage(5, 1))),
    ],
)
def test_failed_and_cancelled_answers_are_never_kept(inner):
    handler = cached(inner, memory())
    for _ in range(2):
        with contextlib.suppress(UpstreamFailed):
            answer(handler, call(generate()))
    assert len(inner.calls) == 2
    assert inner.closed == 2


def test_a_stream_that_its_client_left_is_not_kept():
    inner = Answering(*ANSWER)
    handler = cached(inner, memory())
    assert len(answer_until(handler, call(generate()), 2)) == 2
    assert inner.closed == 1
    assert headers_of(handler, generate()) == "miss"


def test_tenants_do_not_share():
    handler = cached(Answering(*ANSWER), memory())
    assert [headers_of(handler, generate(), who) for who in (A, B, A)] == ["miss", "miss", "hit"]


@pytest.mark.parametrize(
    "other",
    [
        generate("hello "),
        generate(top_p=0.5),
        replace(generate(), model="other"),
        replace(generate(), messages=(), prompt="hello"),
    ],
)
def test_another_request_is_another_answer(other):
    handler = cached(Answering(*ANSWER), memory())
    assert [headers_of(handler, each) for each in (generate(), other)] == ["miss", "miss"]


def test_an_answer_is_forgotten_after_its_time():
    now = [0.0]
    handler = cached(Answering(ROWS), memory(clock=lambda: now[0]))
    found = []
    for now[0] in (0.0, 59.9, 60.0):
        found.append(headers_of(handler, EMBED))
    assert found == ["miss", "hit", "miss"]


def test_the_store_keeps_its_size_and_what_was_asked_for_last():
    async def run() -> None:
        store = MemoryStore(100, lambda: 0.0)
        for name in "abc":
            await store.put(name, b"x" * 40, 60)
            await store.get("a")
        assert [await store.get(name) is not None for name in "abc"] == [True, False, True]
        await store.put("a", b"y" * 60, 60)
        assert store.bytes_used == 100
        await store.put("huge", b"z" * 101, 60)
        assert await store.get("huge") is None
        assert store.bytes_used == 100

    asyncio.run(run())


def test_a_large_answer_is_not_kept():
    handler = cached(Answering(ROWS), memory(entry_bytes=20))
    assert [headers_of(handler, EMBED) for _ in range(2)] == ["miss", "miss"]


class Store:
    """One that gives the same for every key, or fails if it has nothing to give."""

    def __init__(self, entry: bytes | None) -> None:
        self._entry = entry

    async def get(self, key: str) -> bytes:
        if self._entry is None:
            raise StoreDown("refused")
        return self._entry

    async def put(self, key: str, entry: bytes, ttl_s: float) -> None:
        await self.get(key)

    async def close(self) -> None: ...


@pytest.mark.parametrize("store", [Store(None), Store(b'[2,"1",[["Text",{"nonsense":1}]]]')])
def test_a_store_that_fails_costs_no_answer(store):
    handler = cached(Answering(ROWS), ExactCache(store, 60.0, 10_000))
    assert answer(handler, call(EMBED)) == [ROWS]


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"{}",
        b'[2,"1",[]]',
        b'[3,"1",[{"command":"ls"}]]',
        b'[3,"1",[{"text":"a","tokens":1,"command":"ls"}]]',
        b'[3,"1",[{"rows":["!"],"usage":{}}]]',
        b"[3]",
        b"[3,{},[]]",
        b'[3,"1\\r\\nx: y",[]]',
    ],
)
def test_what_we_did_not_write_is_refused(entry):
    with pytest.raises(UnreadableEntry):
        unpack(entry)


def test_packing_loses_nothing():
    events = [*ANSWER, ROWS, LOGITS]
    assert unpack(pack(events, "3")) == (events, "3")
