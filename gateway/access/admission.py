"""How many requests are in front of Triton at a time, and which are refused when it is full.

A limited number runs; the others wait in a fair queue, which is limited too. One tenant may only
take a share of the free places, in the queue and among the running. So a flood of requests takes
most places but never all, and a tenant that comes later finds one at once.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from gateway.access.demand import Assumptions, Demand, demand
from gateway.access.fairness import FairQueue, Ticket
from gateway.call import Call, Event, Generate, Handler, Usage
from gateway.errors import DeadlinePassed, Unavailable
from gateway.table import NUMBER, Count

_SHARE = 3
"""A tenant may have this many times what it leaves free: three quarters when it is alone. A tenant
that has nothing yet may take all that is free."""
_MOMENT_S = 30.0
"""How long after its last request a tenant still counts as present."""
_LONGEST_WAIT_S = 60.0
_RATE_S = 10.0


@dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class Room:
    """How much may run and wait, a table of the settings; tokens are bounds of input and output."""

    running: Count = 32
    running_tokens: Count = 500_000
    waiting: Count = 512
    waiting_tokens: Count = 4_000_000
    reading_tokens: Count = 8192
    """Most tokens of prompts without a first token yet. The model reads prompts one after the
    other, so a short one waits for all before it."""
    beside: Annotated[int, NUMBER, Field(ge=0)] | None = None
    """Most running generations of one tenant while another tenant has requests, or had some within
    30 s; their prompts are read one at a time. 0: no limit, None: by the device of `llm`."""

    @property
    def largest(self) -> int:
        """Most tokens that one running request is charged. A larger one could only start when
        others have ended, and no other could start beside it."""
        return self.running_tokens // (1 + _SHARE)

    @property
    def longest(self) -> int:
        """Most tokens that one prompt is charged while it is read: half, so that a tenant has one
        long prompt at a time, and another tenant's can be read beside it."""
        return self.reading_tokens // 2


class Admission:
    """Lets requests through to one kind of model, in fair order."""

    def __init__(self, room: Room, *, is_shared: bool = True) -> None:
        """One tenant may take all of `room` unless `is_shared`."""
        self.room, self.is_shared = room, is_shared
        self.queue = FairQueue()
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._rate = _Rate()
        self.is_held = self._is_closed = False
        self.beside = room.beside
        self._came_s: dict[str, float] = {}
        """When the latest requests of the latest two tenants came."""

    async def enter(self, ticket: Ticket, deadline: float | None = None) -> None:
        """Returns when it is the ticket's turn; afterwards it must `leave`.

        Raises Unavailable when there is no room to wait, and DeadlinePassed. A caller that leaves
        cancels the waiting.
        """
        self._note(ticket.tenant)
        self._refuse_without_room(ticket)
        turn = asyncio.get_running_loop().create_future()
        self.queue.push(ticket)
        self._turns[ticket] = turn
        self._start_what_may()
        if turn.done():
            return
        if self._is_closed:
            turn.set_exception(_ending())
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            self._give_up(ticket)
            if isinstance(error, TimeoutError):
                raise DeadlinePassed("the deadline passed while the request waited") from None
            raise

    def read(self, ticket: Ticket) -> None:
        """The model gave the request's first token."""
        if ticket.prompt_tokens:
            self.queue.read(ticket)
            self._start_what_may()

    def leave(self, ticket: Ticket, tokens: int) -> None:
        """The request ended and has used `tokens`."""
        self.queue.end(ticket, tokens)
        self._rate.add(tokens)
        self._start_what_may()

    def hold(self, is_held: bool) -> None:
        """While `is_held`, nothing starts beside what runs: the model has more than it can run."""
        self.is_held = is_held
        self._start_what_may()

    def close(self) -> None:
        """The gateway ends: refuses waiting and new calls, which may ask another gateway."""
        self._is_closed = True
        for turn in self._turns.values():
            if not turn.done():
                turn.set_exception(_ending())

    def _give_up(self, ticket: Ticket) -> None:
        """Take the ticket back: it still waits, or has its turn and can't use it."""
        if self._turns.pop(ticket, None) is not None:
            self.queue.leave(ticket)
            self._start_what_may()  # others may have waited for it
        else:
            self.leave(ticket, 0)

    def _start_what_may(self) -> None:
        while (ticket := self.queue.next(self._may_start)) is not None and self._fits(ticket):
            self.queue.start(ticket)
            turn = self._turns.pop(ticket)
            if not turn.done():  # its caller may have left, and be about to give up
                turn.set_result(None)

    def _note(self, tenant: str) -> None:
        """Note when this tenant came; only it and the tenant before it are kept."""
        self._came_s.pop(tenant, None)
        self._came_s = dict([*self._came_s.items()][-1:]) | {tenant: time.monotonic()}

    def _has_neighbour(self, tenant: str) -> bool:
        """Whether another tenant has a request, or had one a moment ago."""
        since_s = time.monotonic() - _MOMENT_S
        return self.queue.tenants > 1 or any(
            other != tenant and came_s > since_s for other, came_s in self._came_s.items()
        )

    def _may_start(self, ticket: Ticket) -> bool:
        """Whether its tenant leaves enough free; if not, other tenants' requests go first."""
        queue, room, own = self.queue, self.room, self.queue.of(ticket.tenant)
        free_tokens = room.running_tokens - queue.running_tokens
        unread = room.reading_tokens - queue.reading_tokens
        return (
            not self._yields(ticket)
            and self._leaves_enough(own.running, 1, room.running - queue.running)
            and self._leaves_enough(own.running_tokens, ticket.tokens, free_tokens)
            and self._leaves_enough(own.reading_tokens, ticket.prompt_tokens, unread)
        )

    def _yields(self, ticket: Ticket) -> bool:
        """Whether its tenant runs as many as it may beside another tenant: only one while the
        engine reads any prompt. So a new tenant's prompt waits for one other prompt at most."""
        own = self.queue.of(ticket.tenant)
        if not self.beside or not own.running or not self._has_neighbour(ticket.tenant):
            return False
        is_one_read = bool(ticket.prompt_tokens and self.queue.reading_tokens)
        return is_one_read or own.running >= self.beside

    def _fits(self, ticket: Ticket) -> bool:
        """Whether there is room now. No later request passes one that waits for room."""
        if not self.queue.running:
            return True
        if self.is_held:
            return False
        queue, room, prompt = self.queue, self.room, ticket.prompt_tokens
        return (
            queue.running < room.running
            and queue.running_tokens + ticket.tokens <= room.running_tokens
            and (not prompt or queue.reading_tokens + prompt <= room.reading_tokens)
        )

    def _refuse_without_room(self, ticket: Ticket) -> None:
        queue, room, own = self.queue, self.room, self.queue.of(ticket.tenant)
        free, free_tokens = room.waiting - queue.waiting, room.waiting_tokens - queue.waiting_tokens
        if not queue.waiting or (
            free >= 1
            and ticket.tokens <= free_tokens
            and self._leaves_enough(len(own.waiting), 1, free)
            and self._leaves_enough(own.waiting_tokens, ticket.tokens, free_tokens)
        ):
            return
        wait_s = self._rate.time_for_s(queue.waiting_tokens)
        raise Unavailable(
            f"overloaded: {queue.waiting} requests wait for the models, {len(own.waiting)} of them"
            f" from the same tenant; there is room for {room.waiting}, and a tenant may have a part"
            f" of it; try again in {wait_s:.0f} s",
            retry_after_s=wait_s,
        )

    def _leaves_enough(self, own: int, need: int, free: int) -> bool:
        """Whether a tenant that has `own` may have `need` more of what is free."""
        if not own or not need or not self.is_shared:
            return True
        return own + need <= _SHARE * (free - need)


def fair(
    inner: Handler,
    generating: Admission,
    encoding: Admission,
    assumed: Assumptions,
    *,
    comes_whole: bool = False,
) -> Handler:
    """Waits for the request's turn; generations and encoders have separate rooms.

    An answer that comes whole does not show when its prompt was read, so that is not limited.
    """

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        need = demand(call.request, assumed)
        admission = generating if isinstance(call.request, Generate) else encoding
        ticket = _ticket(call, need, admission.room)
        if comes_whole:
            ticket.prompt_tokens = 0
        call.moments.queued_s = time.perf_counter()
        await admission.enter(ticket, call.deadline)
        call.moments.admitted_s = time.perf_counter()
        try:
            async with aclosing(inner(call)) as events:
                async for event in events:
                    admission.read(ticket)
                    yield event
        finally:
            usage = call.usage or Usage(need.input_tokens)
            admission.leave(ticket, usage.input_tokens + usage.output_tokens)

    return answer


def _ticket(call: Call, need: Demand, room: Room) -> Ticket:
    """A call's ticket. Prompts with sources are not known here; their models limit them."""
    request, prompt = call.request, 0
    if isinstance(request, Generate) and not request.documents and request.collection is None:
        prompt = min(need.input_tokens, room.longest)
    return Ticket(call.caller.tenant, call.weight, min(need.tokens, room.largest), prompt)


def _ending() -> Unavailable:
    return Unavailable("this gateway is ending; try again in 1 s", retry_after_s=1.0)


class _Rate:
    """Tokens per second of the last moments."""

    def __init__(self) -> None:
        self._tokens = 0.0
        self._at_s = time.monotonic()

    def add(self, tokens: int) -> None:
        now_s = time.monotonic()
        self._tokens = self._tokens * math.exp((self._at_s - now_s) / _RATE_S) + tokens
        self._at_s = now_s

    def time_for_s(self, tokens: int) -> float:
        """Seconds that so many tokens take at this rate, from 1 to `_LONGEST_WAIT_S`."""
        self.add(0)
        seconds = tokens / (self._tokens / _RATE_S) if self._tokens >= 1 else _LONGEST_WAIT_S
        return min(max(1.0, seconds), _LONGEST_WAIT_S)
