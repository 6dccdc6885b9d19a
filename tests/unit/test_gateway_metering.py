"""What is reserved, settled and booked for a request, however it goes."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gateway.access import metering
from gateway.access.counts import MemoryCounts
from gateway.access.demand import Assumptions, demand
from gateway.access.grants import Grants
from gateway.access.key_store import FileKeyStore, KeyStore
from gateway.access.ledger import Amounts, Ledger, LedgerError, usage
from gateway.access.limits import Limiter
from gateway.access.metering import Meter, limited
from gateway.access.tiers import Limits, Tier
from gateway.call import (
    Call,
    Caller,
    Document,
    Embed,
    Embedded,
    Event,
    Finished,
    Generate,
    Handler,
    Message,
    Other,
    Rank,
    Request,
    Sampling,
    Search,
    SearchedCollection,
    Text,
    Usage,
)
from gateway.errors import (
    BadRequest,
    Forbidden,
    GatewayError,
    Limited,
    Unauthenticated,
    Unavailable,
    UpstreamFailed,
)
from gateway.metrics import TENANTS, Metrics
from tests.unit.test_gateway_keys import new_key

TOKENS = 1000
CALLER = Caller("k", "acme")
HELLO = Generate("llm", messages=(Message("user", "hello"),), sampling=Sampling(max_tokens=100))
INPUT = 7


def model(error: GatewayError | None = None, after: int = 3, counts: bool = True) -> Handler:
    """Three tokens and the end, or an error after so many tokens."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        call.usage = Usage()
        for made in range(1, after + 1):
            call.usage = Usage(INPUT if counts else 0, made)
            yield Text("x", 1)
        if error is not None:
            raise error
        yield Finished("stop", Usage(INPUT, after, 2))

    return answer


class Front:
    """A metered model, with a limit of 1000 tokens a minute, and its ledger."""

    def __init__(
        self, folder: Path, inner: Handler, tier: Tier, store: KeyStore | None = None
    ) -> None:
        self.path = folder / "ledger.db"
        limiter, grants = Limiter(MemoryCounts()), Grants(store, {"default": tier})
        self.meter = Meter(grants, limiter, Ledger(self.path), Assumptions(context_tokens=500))
        self.handler = limited(inner, self.meter)

    async def ask(
        self, request: Any = HELLO, events: int = -1, caller: Caller = CALLER
    ) -> tuple[list[Event], Call]:
        """The first events of an answer, whose stream breaks then, or all."""
        call = Call(request, caller, "1")
        seen: list[Event] = []
        stream = self.handler(call)
        try:
            while len(seen) != events:
                seen.append(await anext(stream))
        except StopAsyncIteration:
            pass
        finally:
            await stream.aclose()
        return seen, call


def booked(folder: Path, inner: Handler, script: Callable[[Front], Any], **tier: Any) -> Any:
    """What the script returns, and the sums of the ledger after it."""

    async def whole() -> tuple[Any, Amounts]:
        front = Front(folder, inner, Tier(tokens_per_minute=TOKENS, **tier))
        result = await script(front)
        await front.meter.close()
        sums = Amounts()
        for row in usage(front.path):
            assert (row.tenant, row.key_id) == ("acme", "k")
            sums = sums.plus(row.amounts)
        return result, sums

    return asyncio.run(whole())


def tokens_held(front: Front) -> int:
    counts = front.meter._limiter._counts
    assert isinstance(counts, MemoryCounts)
    return counts._keys["k"].tokens.total(0) if "k" in counts._keys else 0


def test_a_whole_answer_is_settled_and_booked_exactly(tmp_path: Path) -> None:
    async def script(front: Front) -> int:
        events, call = await front.ask()
        assert events[-1] == Finished("stop", Usage(INPUT, 3, 2))
        bound = len("hello") + 2 * 16 + 100
        assert call.headers["x-ratelimit-remaining-tokens"] == str(TOKENS - bound)
        return tokens_held(front)

    held, sums = booked(tmp_path, model(), script)
    assert held == INPUT + 3
    assert sums == Amounts(1, 0, INPUT, 2, 3, 0)


@pytest.mark.parametrize("events", [1, 2, 3])
def test_a_broken_stream_holds_what_the_model_may_be_ahead(tmp_path: Path, events: int) -> None:
    async def script(front: Front) -> int:
        await front.ask(events=events)
        return tokens_held(front)

    held, sums = booked(tmp_path, model(), script)
    assert held == INPUT + events + metering.AHEAD_TOKENS
    assert sums == Amounts(1, 0, INPUT, 0, events, 0)


def test_a_broken_stream_holds_no_more_than_its_bound(tmp_path: Path) -> None:
    async def script(front: Front) -> int:
        await front.ask(replace(HELLO, sampling=Sampling(max_tokens=5)), events=3)
        return tokens_held(front)

    held, _ = booked(tmp_path, model(), script)
    assert held == INPUT + 5


def test_after_the_first_response_the_input_is_counted_not_bounded(tmp_path: Path) -> None:
    async def script(front: Front) -> int:
        stream = front.handler(Call(HELLO, CALLER, "1"))
        await anext(stream)
        held = tokens_held(front)
        await stream.aclose()
        return held

    held, _ = booked(tmp_path, model(), script)
    assert held == INPUT + 100


@pytest.mark.parametrize(
    ("inner", "held", "sums"),
    [
        (model(Unavailable("full"), after=0), 0, Amounts(0, 1, 0, 0, 0, 137)),
        (model(BadRequest("no"), after=0), 0, Amounts(0, 1, 0, 0, 0, 137)),
        (model(UpstreamFailed("died"), after=0), 37, Amounts(1, 0, 37, 0, 0, 0)),
        (model(UpstreamFailed("died"), after=2), INPUT + 2, Amounts(1, 0, INPUT, 0, 2, 0)),
        (model(Unavailable("gone"), after=2), INPUT + 2, Amounts(1, 0, INPUT, 0, 2, 0)),
    ],
    ids=["refused", "bad", "died before", "died amid", "unloaded amid"],
)
def test_an_error_costs_what_the_model_may_have_done(
    tmp_path: Path, inner: Handler, held: int, sums: Amounts
) -> None:
    async def script(front: Front) -> int:
        with pytest.raises(GatewayError):
            await front.ask()
        return tokens_held(front)

    assert booked(tmp_path, inner, script) == (held, sums)


def test_a_cancelled_task_settles_too(tmp_path: Path) -> None:
    async def script(front: Front) -> int:
        entered = asyncio.Event()

        async def slow(call: Call) -> AsyncGenerator[Event, None]:
            call.usage = Usage(INPUT, 1)
            yield Text("x", 1)
            entered.set()
            await asyncio.sleep(60)

        front.handler = limited(slow, front.meter)
        task = asyncio.create_task(front.ask())
        await entered.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return tokens_held(front)

    held, sums = booked(tmp_path, model(), script)
    assert held == INPUT + 1 + metering.AHEAD_TOKENS
    assert sums.output_tokens == 1


def test_what_the_limits_refuse_is_booked_as_rejected_and_not_asked(tmp_path: Path) -> None:
    async def script(front: Front) -> None:
        big = replace(HELLO, sampling=Sampling(max_tokens=950))
        stream = front.handler(Call(big, CALLER, "1"))
        await anext(stream)
        with pytest.raises(Limited, match=r"1000 tokens per minute; 957 are used, 137 asked for"):
            await front.ask()
        await stream.aclose()

    _, sums = booked(tmp_path, model(), script)
    assert (sums.requests, sums.rejected_requests, sums.rejected_tokens) == (1, 1, 137)


def test_looks_have_a_limit_of_their_own(tmp_path: Path) -> None:
    """Who polls takes no requests from itself, and does not poll without end."""

    async def script(front: Front) -> int:
        for _ in range(2 * metering.LOOKS):
            await front.meter.look(CALLER)
        with pytest.raises(Limited, match=r"^looks at files and lists: .* 20 are used"):
            await front.meter.look(CALLER)
        await front.ask()
        return tokens_held(front)

    held, sums = booked(tmp_path, model(), script, requests_per_minute=2)
    assert (held, sums.requests) == (INPUT + 3, 1)


def test_the_longest_answer_of_a_key_is_kept(tmp_path: Path) -> None:
    async def script(front: Front) -> None:
        with pytest.raises(BadRequest, match=r"max_tokens: 100 asked for; the key may have 50"):
            await front.ask()
        _, call = await front.ask(Generate("llm", prompt="hello"))
        assert isinstance(call.request, Generate)
        assert call.request.sampling.max_tokens == 50

    booked(tmp_path, model(), script, max_tokens=50)


def test_the_longest_prompt_of_a_key_is_kept_before_any_text_is_sent(tmp_path: Path) -> None:
    async def script(front: Front) -> int:
        with pytest.raises(BadRequest, match="has 10 tokens or more; the key may send 5"):
            await front.ask(Generate("llm", prompt="x " * 640))
        assert tokens_held(front) == 0
        call = Call(Generate("llm", prompt="hello"), CALLER, "1")
        with pytest.raises(BadRequest, match="has 7 tokens or more; the key may send 5"):
            await anext(front.handler(call))
        return tokens_held(front)

    held, sums = booked(tmp_path, model(), script, max_input_tokens=5)
    assert held == INPUT + 1
    assert (sums.requests, sums.rejected_requests) == (1, 1)


def test_keys_have_models_tiers_and_limits_of_their_own(tmp_path: Path) -> None:
    narrow, _ = new_key(models=("embed",), limits=Limits(requests_per_minute=1))
    lost, _ = new_key(tier="gold")
    store = FileKeyStore(tmp_path / "keys.json")

    async def whole() -> None:
        await store.add(narrow)
        await store.add(lost)
        front = Front(tmp_path, model(), Tier(requests_per_minute=5), store)
        caller = Caller(narrow.id, narrow.tenant)
        with pytest.raises(Forbidden, match="'llm'; it may use embed"):
            await front.ask(caller=caller)
        await front.ask(Embed("embed", texts=("a",)), caller=caller)
        with pytest.raises(Limited, match="1 requests per minute"):
            await front.ask(Embed("embed", texts=("a",)), caller=caller)
        with pytest.raises(Forbidden, match="'gold'; this gateway has default"):
            await front.ask(caller=Caller(lost.id, lost.tenant))
        await store.change(narrow.id, lambda key: key.model_copy(update={"disabled": True}))
        with pytest.raises(Unauthenticated):
            await front.ask(caller=caller)
        await front.meter.close()

    asyncio.run(whole())


@pytest.mark.parametrize("end", [{"disabled": True}, {"expires": datetime(2020, 1, 1, tzinfo=UTC)}])
def test_a_stream_ends_with_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: dict[str, Any]
) -> None:
    monkeypatch.setattr(metering, "LOOK_AGAIN_S", 0.0)
    ending, _ = new_key(tenant="acme")
    store = FileKeyStore(tmp_path / "keys.json")

    async def whole() -> None:
        await store.add(ending)
        front = Front(tmp_path, model(), Tier(tokens_per_minute=TOKENS), store)
        stream = front.handler(Call(HELLO, Caller(ending.id, "acme"), "1"))
        assert await anext(stream) == Text("x", 1)
        await store.change(ending.id, lambda key: key.model_copy(update=end))
        with pytest.raises(Unauthenticated, match=r"is disabled|expired at 2020"):
            await anext(stream)
        await front.meter.close()
        (row,) = usage(front.path)
        assert (row.amounts.input_tokens, row.amounts.output_tokens) == (INPUT, 2)

    asyncio.run(whole())


@pytest.mark.parametrize("request_", [Search("q", SearchedCollection("manuals")), Other()])
def test_where_a_caller_names_no_model_its_route_is_enough(
    tmp_path: Path, request_: Request
) -> None:
    narrow, _ = new_key(models=("rag",))
    store = FileKeyStore(tmp_path / "keys.json")

    async def whole() -> None:
        await store.add(narrow)
        front = Front(tmp_path, model(), Tier(), store)
        events, _ = await front.ask(request_, caller=Caller(narrow.id, narrow.tenant))
        assert events
        await front.meter.close()

    asyncio.run(whole())


def test_embeddings_are_booked(tmp_path: Path) -> None:
    async def encoder(call: Call) -> AsyncGenerator[Event, None]:
        yield Embedded((b"",), Usage(4))

    async def script(front: Front) -> int:
        await front.ask(Embed("embed", texts=("hello",)))
        return tokens_held(front)

    assert booked(tmp_path, encoder, script) == (4, Amounts(1, 0, 4, 0, 0, 0))


def test_bounds_of_tokens() -> None:
    assumed = Assumptions(context_tokens=100, default_max_tokens=20)
    assert demand(Generate("llm", prompt="é" * 10), assumed).tokens == 20 + 16 + 20
    assert demand(Generate("llm", prompt="e" * 1000), assumed).input_tokens == 100
    documents = (Document("d" * 10, title="t"),)
    assert demand(Generate("rag", prompt="q", documents=documents), assumed).input_tokens == 12 + 32
    assert demand(Embed("embed", texts=("abc", "e" * 200)), assumed).tokens == 19 + 100
    assert demand(Embed("embed", token_ids=((1, 2, 3), (4,))), assumed).tokens == 4
    assert demand(Rank("rerank", "ab", ("c", "d")), assumed).tokens == 2 * (18 + 17)


def test_a_ledger_adds_up_over_gateways_and_restarts(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"

    async def whole() -> None:
        first, second = Ledger(path), Ledger(path)
        for ledger in (first, second, first):
            ledger.add(CALLER, "llm", Amounts(1, 0, 10, 1, 5, 0))
        ledger.add(Caller("other", "umbrella"), "embed", Amounts(0, 1, 0, 0, 0, 9))
        await first.close()
        await second.close()
        third = Ledger(path)
        third.add(CALLER, "llm", Amounts(1, 0, 10, 1, 5, 0))
        await third.close()

    asyncio.run(whole())
    assert [(row.key_id, row.amounts) for row in usage(path)] == [
        ("k", Amounts(4, 0, 40, 4, 20, 0)),
        ("other", Amounts(0, 1, 0, 0, 0, 9)),
    ]
    assert [row.key_id for row in usage(path, model="embed")] == ["other"]
    assert [row.key_id for row in usage(path, key_id="k")] == ["k"]
    assert usage(path, since_hour=10**7) == []


def test_a_full_disk_is_named_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite's own bound of pages fails as a disk does."""
    path = tmp_path / "ledger.db"

    async def whole() -> None:
        ledger = Ledger(path)
        ledger._file.execute("pragma max_page_count = 2")
        for number in range(200):
            ledger.add(Caller(f"k{number}", "acme"), "llm", Amounts(requests=1))
        await ledger._write()
        ledger._file.execute("pragma max_page_count = 1000")
        await ledger.close()

    asyncio.run(whole())
    assert "tried again: database or disk is full" in caplog.text
    assert sum(row.amounts.requests for row in usage(path)) == 200


def test_a_file_that_is_no_ledger_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    path.write_text("not a database, but long enough to be looked at" * 100, "utf-8")
    with pytest.raises(LedgerError, match=r"ledger\.db"):
        Ledger(path)


def test_tokens_are_told_by_tenant_but_not_for_any_number_of_them() -> None:
    metrics = Metrics()
    for number in range(TENANTS + 5):
        metrics.count_tokens("llm", f"tenant-{number}", Usage(3, 2, 1))
    page = metrics.page(b"").decode()
    series = 'gateway_tokens_total{model="llm",tenant="%s",type="input"} %s'
    assert series % ("tenant-0", "3.0") in page
    assert series % ("other", "15.0") in page
    assert page.count("gateway_tokens_total{") == 3 * (TENANTS + 1)
