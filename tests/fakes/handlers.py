"""Handlers that answer from memory, and calls for them."""

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing

from gateway.call import (
    ANYBODY,
    Call,
    Caller,
    Embedded,
    Event,
    Finished,
    Generate,
    Handler,
    Message,
    Ranked,
    Request,
    Sampling,
    Text,
    Usage,
)


class Answering:
    """Yields the same events for each call, then raises `error` if there is one."""

    def __init__(self, *events: Event, error: Exception | None = None) -> None:
        self.events, self.error = events, error
        self.calls: list[Call] = []
        self.closed = 0
        """How many answers were left, or read to their end."""

    async def __call__(self, call: Call) -> AsyncGenerator[Event, None]:
        self.calls.append(call)
        try:
            for event in self.events:
                call.usage = usage_after(event, call.usage)
                yield event
            if self.error:
                raise self.error
        finally:
            self.closed += 1


def usage_after(event: Event, before: Usage | None) -> Usage:
    """What a call has used with this event, as the handlers of models note it."""
    if isinstance(event, Finished | Embedded | Ranked):
        return event.usage
    tokens = event.tokens if isinstance(event, Text) else 0
    return Usage(0, (before.output_tokens if before else 0) + tokens)


def generate(text: str = "hello", **sampling: float | None) -> Generate:
    """A chat with one message, at temperature 0 unless told otherwise."""
    settings = {"temperature": 0.0} | sampling
    return Generate("llm", (Message("user", text),), sampling=Sampling(**settings))  # type: ignore[arg-type]


def call(request: Request, caller: Caller = ANYBODY) -> Call:
    return Call(request, caller, request_id="request-1")


def answer(handler: Handler, asked: Call) -> list[Event]:
    """All events of one call."""

    async def events() -> list[Event]:
        async with aclosing(handler(asked)) as answered:
            return [event async for event in answered]

    return asyncio.run(events())


def answer_until(handler: Handler, asked: Call, count: int) -> list[Event]:
    """The first events of a call whose client then leaves."""

    async def events() -> list[Event]:
        seen = list[Event]()
        async with aclosing(handler(asked)) as answered:
            async for event in answered:
                seen.append(event)
                if len(seen) == count:
                    break
        return seen

    return asyncio.run(events())


def texts(events: Iterable[Event]) -> str:
    return "".join(getattr(event, "text", "") for event in events)
