"""The handler that applies the callers' limits and books what they use."""

import itertools
import secrets
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from gateway.access.demand import Assumptions, Demand, demand
from gateway.access.grants import Grant, Grants
from gateway.access.ledger import Amounts, Ledger
from gateway.access.limits import Limiter, Reservation
from gateway.access.tiers import Limits
from gateway.call import LAST, Call, Caller, Event, Generate, Handler, Label, Usage
from gateway.errors import GatewayError, Limited

_MODEL_MAY_HAVE_WORKED = (500, 502, 504)
"""Statuses of errors after which the input's tokens count; other errors are refusals."""

AHEAD_TOKENS = 16
"""Tokens that are counted in addition for a stream that its client left: the model continues until
it notices. A small model that shares one core with the gateway made 7 more on average."""

LOOKS = 10
"""Looks (reads of files and lists) that the limit allows for each request that it allows."""

LOOK_AGAIN_S = 1.0
"""How long a stream may continue after its key was disabled."""


def limited(inner: Handler, meter: "Meter", label: Label = str) -> Handler:
    """Reserves before `inner` is asked, and settles however it ends."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        entry = await meter.admit(call, label)
        try:
            async with aclosing(inner(call)) as events:
                async for event in events:
                    if isinstance(event, LAST):
                        call.usage, entry.is_whole = event.usage, True
                    if not entry.is_counted:
                        meter.count_input(entry)
                    if time.monotonic() - entry.looked_s > LOOK_AGAIN_S:
                        await meter.look_again(entry)
                    yield event
        except GatewayError as error:
            entry.error = error
            raise
        finally:
            meter.settle(entry)

    return answer


@dataclass(slots=True)
class Entry:
    """One request that was admitted."""

    call: Call
    need: Demand
    grant: Grant
    model: str
    reservation: Reservation | None
    is_counted: bool = False
    """Whether the model has said how long the input is."""
    looked_s: float = field(default_factory=time.monotonic)
    """When the key was last checked."""
    is_whole: bool = False
    """Whether the answer is complete."""
    error: GatewayError | None = None


class Meter:
    """Limits and ledger together: both get what was used."""

    def __init__(
        self, grants: Grants, limiter: Limiter, ledger: Ledger | None, assumed: Assumptions
    ) -> None:
        self._grants = grants
        self._limiter = limiter
        self._ledger = ledger
        self._assumed = assumed
        self._names = (f"{secrets.token_hex(8)}-{number}" for number in itertools.count())
        """Names of streams; request ids would not do: a client may use one twice."""

    async def admit(self, call: Call, label: Label = str) -> Entry:
        """Admit a call; raises the refusals of grant and limits: then only the ledger counts it."""
        grant = await self._grants.of(call.caller)
        model = label(call.request.model)
        call.weight = grant.weight
        call.request = grant.bounded(call.request, self._assumed)
        need = demand(call.request, self._assumed)
        try:
            grant.check(call.request)
            stream = next(self._names) if isinstance(call.request, Generate) else ""
            held = await self._limiter.reserve(call.caller.key_id, grant.limits, need, stream)
        except GatewayError:
            self._book(call, model, Amounts(rejected_requests=1, rejected_tokens=need.tokens))
            raise
        if held is not None:
            call.headers.update(held.headers)
        return Entry(call, need, grant, model, held)

    async def look_again(self, entry: Entry) -> None:
        """Raises Unauthenticated for a key that was disabled, or ended, during the answer."""
        entry.looked_s = time.monotonic()
        await self._grants.of(entry.call.caller)

    async def count(self, call: Call) -> None:
        """Count a request that is answered without a model; raises the refusals of the limits."""
        self.settle(await self.admit(call))

    async def look(self, caller: Caller) -> None:
        """Count a look (a read of files or lists); raises the refusals of the limits. Looks have a
        limit of their own, and are not in the ledger."""
        limits = (await self._grants.of(caller)).limits
        if limits.requests_per_minute is not None:
            looks = Limits(requests_per_minute=LOOKS * limits.requests_per_minute)
            try:
                await self._limiter.reserve(f"{caller.key_id} looks", looks, Demand(0, 0), "")
            except Limited as refused:
                refused.args = (f"looks at files and lists: {refused}",)
                raise

    def count_input(self, entry: Entry) -> None:
        """Replaces the bound by the model's own count, at the first event."""
        entry.is_counted = True
        tokens = entry.call.usage.input_tokens if entry.call.usage else 0
        if not tokens:
            return
        if isinstance(entry.call.request, Generate):
            entry.grant.check_input(tokens)
        if entry.reservation is not None:
            self._limiter.adjust(entry.reservation, tokens + entry.need.output_tokens)

    def settle(self, entry: Entry) -> None:
        usage = used(entry.call, entry.need, entry.error)
        if entry.reservation is not None:
            total = usage.input_tokens + usage.output_tokens + _unseen(entry, usage)
            self._limiter.settle(entry.reservation, total)
        if entry.error is not None and usage == Usage():
            amounts = Amounts(rejected_requests=1, rejected_tokens=entry.need.tokens)
        else:
            tokens = (usage.input_tokens, usage.cached_tokens, usage.output_tokens)
            amounts = Amounts(1, 0, *tokens)
        self._book(entry.call, entry.model, amounts)

    async def close(self) -> None:
        await self._limiter.close()
        if self._ledger is not None:
            await self._ledger.close()

    def _book(self, call: Call, model: str, amounts: Amounts) -> None:
        if self._ledger is not None:
            self._ledger.add(call.caller, model, amounts)


def _unseen(entry: Entry, usage: Usage) -> int:
    """Tokens that the model may have generated after a client has left.

    Limits count them, since the model worked; the ledger doesn't, since nobody read them.
    """
    if entry.is_whole or entry.error is not None or entry.call.usage is None:
        return 0
    return min(AHEAD_TOKENS, max(0, entry.need.output_tokens - usage.output_tokens))


def used(call: Call, need: Demand, error: GatewayError | None) -> Usage:
    """The tokens of one request that ended or failed, as the models counted them.

    If it failed before the first response, its input has the bound instead of a count.
    """
    usage = call.usage or Usage()
    refused = error is not None and error.status not in _MODEL_MAY_HAVE_WORKED
    if usage.input_tokens or call.usage is None or refused:
        return usage
    return replace(usage, input_tokens=need.input_tokens)
