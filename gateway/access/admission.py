"""How many requests are in front of Triton at a time, and which are refused when it is full.

A bounded number runs; the others wait in a fair queue, which is bounded too. Of the places that are
free, in the queue and among the running, one tenant may take a share only. So a flood fills most of
them but never all, and a tenant that comes next finds one at once.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass

from gateway.access.demand import Bounds, demand
from gateway.access.fairness import FairQueue, Ticket
from gateway.access.grants import Grants
from gateway.call import Call, Event, Generate, Handler, Usage
from gateway.errors import DeadlinePassed, Unavailable

_SHARE = 3
"""A tenant may have this many times what it leaves free: three quarters when it is alone. One that
has nothing yet may have what is free."""
_LONGEST_WAIT_S = 60.0
_RATE_S = 10.0


@dataclass(frozen=True, slots=True)
class Room:
    """What there is room for; `tokens` are bounds of input and output."""

    running: int
    running_tokens: int
    waiting: int
    waiting_tokens: int
    is_shared: bool = True
    """False: one tenant may have everything."""


class Admission:
    """Lets requests to one kind of model, in fair order."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self.queue = FairQueue()
        self._turns: dict[Ticket, asyncio.Future[None]] = {}
        self._rate = _Rate()
        self.is_held = False

    async def enter(self, ticket: Ticket, deadline: float | None = None) -> None:
        """Returns when it is the ticket's turn; it must `leave` then.

        Raises Unavailable when there is no room to wait, and DeadlinePassed. A caller that is gone
        cancels the waiting.
        """
        self._refuse_without_room(ticket)
        turn = asyncio.get_running_loop().create_future()
        self.queue.push(ticket)
        self._turns[ticket] = turn
        self._start_what_may()
        if turn.done():
            return
        try:
            async with asyncio.timeout_at(deadline):
                await turn
        except BaseException as error:
            self._give_up(ticket)
            if isinstance(error, TimeoutError):
                raise DeadlinePassed("the deadline passed while the request waited") from None
            raise

    def leave(self, ticket: Ticket, tokens: int) -> None:
        """The request ended and has used `tokens`."""
        self.queue.end(ticket, tokens)
        self._rate.add(tokens)
        self._start_what_may()

    def hold(self, is_held: bool) -> None:
        """While it is held nothing starts beside what runs: the model has more than it can run."""
        self.is_held = is_held
        self._start_what_may()

    def _give_up(self, ticket: Ticket) -> None:
        """Whether it still waits, or has its turn already and can't use it."""
        if self._turns.pop(ticket, None) is not None:
            self.queue.leave(ticket)
            self._start_what_may()  # others may have waited behind it
        else:
            self.leave(ticket, 0)

    def _start_what_may(self) -> None:
        while (ticket := self.queue.next(self._may_start)) is not None and self._fits(ticket):
            self.queue.start(ticket)
            turn = self._turns.pop(ticket)
            if not turn.done():  # its caller may be gone, and about to say so
                turn.set_result(None)

    def _may_start(self, ticket: Ticket) -> bool:
        """Whether its tenant leaves enough free; if not, other tenants' requests go first."""
        queue, room, own = self.queue, self.room, self.queue.of(ticket.tenant)
        free_tokens = room.running_tokens - queue.running_tokens
        return self._leaves_enough(
            own.running, 1, room.running - queue.running
        ) and self._leaves_enough(own.running_tokens, ticket.tokens, free_tokens)

    def _fits(self, ticket: Ticket) -> bool:
        """Whether there is room now. No later request passes one that waits for it."""
        if not self.queue.running:
            return True
        if self.is_held:
            return False
        tokens = self.queue.running_tokens + ticket.tokens
        return self.queue.running < self.room.running and tokens <= self.room.running_tokens

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
        if not own or not self.room.is_shared:
            return True
        return own + need <= _SHARE * (free - need)


def fair(
    inner: Handler, generating: Admission, encoding: Admission, grants: Grants, bounds: Bounds
) -> Handler:
    """Waits for the request's turn; generations and encoders have rooms of their own."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        need = demand(call.request, bounds)
        weight = (await grants.of(call.caller)).weight
        ticket = Ticket(call.caller.tenant, weight, need.tokens)
        admission = generating if isinstance(call.request, Generate) else encoding
        call.moments.queued_s = time.perf_counter()
        await admission.enter(ticket, call.deadline)
        call.moments.admitted_s = time.perf_counter()
        try:
            async with aclosing(inner(call)) as events:
                async for event in events:
                    yield event
        finally:
            usage = call.usage or Usage(need.input_tokens)
            admission.leave(ticket, usage.input_tokens + usage.output_tokens)

    return answer


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
        """How long so many tokens take, within reason."""
        self.add(0)
        seconds = tokens / (self._tokens / _RATE_S) if self._tokens >= 1 else _LONGEST_WAIT_S
        return min(max(1.0, seconds), _LONGEST_WAIT_S)
