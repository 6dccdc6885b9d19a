"""The order in which tenants get the models: fair queueing over tokens.

Every tenant has a clock that advances by the tokens that it used, divided by its weight. The next
tenant is the waiting one with the lowest clock, to which the bounds of its running requests are
added. A tenant that was idle starts at the clock of the others, so idle time earns nothing.

Within a tenant the request with the smallest sum of clock at arrival and own tokens is first. So
short requests pass a long one, but in total by no more tokens than it has itself.
"""

import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(eq=False, slots=True)
class Ticket:
    """One request that waits or runs."""

    tenant: str
    weight: float
    tokens: int
    """Upper bound of its tokens."""
    prompt_tokens: int = 0
    """The part of it that the model still has to read; 0 after its first token."""


@dataclass(slots=True)
class Tenant:
    """One tenant's part of a queue."""

    clock: float = 0.0
    """Tokens used, divided by the weight."""
    charged: float = 0.0
    """Bounds of the tokens of running requests, divided by the weight."""
    running: int = 0
    running_tokens: int = 0
    reading_tokens: int = 0
    """Bounds of the tokens of prompts that the model still reads."""
    waiting_tokens: int = 0
    waiting: list[tuple[float, int, Ticket]] = field(default_factory=list)
    """Waiting tickets with their order, as a heap."""

    @property
    def is_idle(self) -> bool:
        return not self.waiting and not self.running


class FairQueue:
    """Tickets that wait and run, of all tenants."""

    def __init__(self) -> None:
        self._active: dict[str, Tenant] = {}
        """Tenants with tickets."""
        self._idle: dict[str, float] = {}
        """The clocks of tenants without tickets; at most one for each tenant that has a key."""
        self._clock = 0.0
        """The highest clock of all tenants that became idle."""
        self._arrivals = itertools.count()
        self.waiting_tokens = 0
        """Bounds of the tokens of all waiting tickets."""
        self.running_tokens = 0
        self.reading_tokens = 0
        self.waiting = 0
        self.running = 0

    @property
    def tenants(self) -> int:
        """Number of tenants with tickets."""
        return len(self._active)

    def of(self, tenant: str) -> Tenant:
        """What a tenant has here; not to be changed by the caller."""
        return self._active.get(tenant) or Tenant()

    def push(self, ticket: Ticket) -> None:
        """The ticket waits."""
        tenant = self._active.get(ticket.tenant) or self._activate(ticket.tenant)
        tag = tenant.clock + ticket.tokens / ticket.weight
        heapq.heappush(tenant.waiting, (tag, next(self._arrivals), ticket))
        tenant.waiting_tokens += ticket.tokens
        self.waiting += 1
        self.waiting_tokens += ticket.tokens

    def next(self, may_start: Callable[[Ticket], bool]) -> Ticket | None:
        """The first waiting ticket of the first tenant that may start it; None if there is none."""
        ready = [tenant for tenant in self._active.values() if tenant.waiting]
        for tenant in sorted(ready, key=lambda one: (one.clock + one.charged, len(one.waiting))):
            ticket = tenant.waiting[0][2]
            if may_start(ticket):
                return ticket
        return None

    def start(self, ticket: Ticket) -> None:
        """A waiting ticket runs."""
        tenant = self._active[ticket.tenant]
        self._stop_waiting(tenant, ticket)
        tenant.charged += ticket.tokens / ticket.weight
        tenant.running += 1
        tenant.running_tokens += ticket.tokens
        tenant.reading_tokens += ticket.prompt_tokens
        self.running += 1
        self.running_tokens += ticket.tokens
        self.reading_tokens += ticket.prompt_tokens

    def read(self, ticket: Ticket) -> None:
        """The model has read the prompt of a running ticket."""
        self._active[ticket.tenant].reading_tokens -= ticket.prompt_tokens
        self.reading_tokens -= ticket.prompt_tokens
        ticket.prompt_tokens = 0

    def leave(self, ticket: Ticket) -> None:
        """The caller of a waiting ticket has left."""
        tenant = self._active[ticket.tenant]
        self._stop_waiting(tenant, ticket)
        self._rest(ticket.tenant, tenant)

    def end(self, ticket: Ticket, tokens: int) -> None:
        """A running ticket is done and has used `tokens`."""
        self.read(ticket)
        tenant = self._active[ticket.tenant]
        tenant.clock += tokens / ticket.weight
        tenant.charged -= ticket.tokens / ticket.weight
        tenant.running -= 1
        tenant.running_tokens -= ticket.tokens
        self.running -= 1
        self.running_tokens -= ticket.tokens
        self._rest(ticket.tenant, tenant)

    def _activate(self, name: str) -> Tenant:
        others = [tenant.clock for tenant in self._active.values()]
        common = min(others, default=self._clock)
        tenant = self._active[name] = Tenant(clock=max(self._idle.pop(name, 0.0), common))
        return tenant

    def _rest(self, name: str, tenant: Tenant) -> None:
        if tenant.is_idle:
            self._idle[name] = self._active.pop(name).clock
            self._clock = max(self._clock, tenant.clock)

    def _stop_waiting(self, tenant: Tenant, ticket: Ticket) -> None:
        if tenant.waiting[0][2] is ticket:
            heapq.heappop(tenant.waiting)
        else:
            tenant.waiting = [entry for entry in tenant.waiting if entry[2] is not ticket]
            heapq.heapify(tenant.waiting)
        tenant.waiting_tokens -= ticket.tokens
        self.waiting -= 1
        self.waiting_tokens -= ticket.tokens
