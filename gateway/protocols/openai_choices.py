"""Answers of OpenAI's chat and completions: the choices of one request, each a call of its own."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace

from fastapi import Request
from starlette.responses import Response

from gateway.call import Call, Event, Generate, Moments
from gateway.protocols.answer import Answer
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_sampling import SamplingRequest, total, usage
from gateway.protocols.reading import Json
from gateway.protocols.request import new_call, service
from gateway.protocols.response import DONE, Complete, Streaming

_STREAM = replace(OPENAI, last=DONE)

Answers = Sequence[AsyncGenerator[Event, None]]


@dataclass(frozen=True)
class Form:
    """How one of the two APIs writes a choice."""

    id_prefix: str
    whole: str
    """The value of `object` in a whole response."""
    chunk: str
    """The value of `object` in an event of a stream."""
    choice: Callable[[Answer, Generate], Json]
    """The fields of a whole choice."""
    delta: Callable[[Event, Answer, Generate, bool], Json | None]
    """The fields of a streamed choice, for an event that is in `Answer` already, and whether it is
    the first of its choice. None for an event without fields."""


def choices(
    request: Request, asked: SamplingRequest, wanted: Sequence[Generate], form: Form
) -> Response:
    """The response with a choice for each of `wanted`, in their order; raises `BadRequest`."""
    call = new_call(request, wanted[0])
    answers = [service(request).handler(each) for each in _calls(call, wanted)]
    head = {
        "id": f"{form.id_prefix}-{call.request_id}",
        "object": form.chunk if asked.stream else form.whole,
        "created": int(time.time()),
        "model": asked.model,
    }
    if asked.stream:
        return Streaming(call, _chunks(head, wanted, answers, form, asked.wants_usage), _STREAM)
    return Complete(call, _whole(head, wanted, answers, form))


def _calls(call: Call, wanted: Sequence[Generate]) -> list[Call]:
    """The call for the first of the requests, and similar calls for the others."""
    return [call] + [
        replace(
            call,
            request=each,
            request_id=f"{call.request_id}-{number}",
            headers={},
            moments=Moments(call.moments.arrived_s),
        )
        for number, each in enumerate(wanted[1:], start=1)
    ]


async def _whole(head: Json, wanted: Sequence[Generate], answers: Answers, form: Form) -> Json:
    found = [Answer() for _ in answers]
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            found[index].add(event)
    return {
        **head,
        "choices": [
            _choice(index, form.choice(answer, wanted[index]), answer)
            for index, answer in enumerate(found)
        ],
        "usage": _usage(found),
        "system_fingerprint": None,  # OpenRouter's clients need it
    }


async def _chunks(
    head: Json, wanted: Sequence[Generate], answers: Answers, form: Form, wants_usage: bool
) -> AsyncGenerator[Json, None]:
    found = [Answer() for _ in answers]
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            answer = found[index]
            is_first = not answer.parts
            answer.add(event)
            fields = form.delta(event, answer, wanted[index], is_first)
            if fields is not None:
                yield {**head, "choices": [_choice(index, fields, answer)]}
    if wants_usage:
        yield {**head, "choices": [], "usage": _usage(found)}


def _choice(index: int, fields: Json, answer: Answer) -> Json:
    reason = answer.stop_reason if answer.finished else None
    return {"index": index, "logprobs": None, "finish_reason": reason, **fields}


def _usage(answers: Sequence[Answer]) -> Json:
    return usage(total([answer.usage for answer in answers]))


async def merged(answers: Answers) -> AsyncGenerator[tuple[int, Event], None]:
    """Events of all answers as they come, with the answer's index.

    The first error ends all of them. At most one event of each waits to be read.
    """
    if len(answers) == 1:
        async with aclosing(answers[0]) as only:
            async for event in only:
                yield 0, event
        return
    queue: asyncio.Queue[tuple[int, Event | Exception | None]] = asyncio.Queue(len(answers))
    tasks = [asyncio.create_task(_pump(i, each, queue)) for i, each in enumerate(answers)]
    try:
        ended = 0
        while ended < len(answers):
            index, found = await queue.get()
            if isinstance(found, Exception):
                raise found
            if found is None:
                ended += 1
            else:
                yield index, found
    finally:
        for task in tasks:
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    index: int,
    events: AsyncGenerator[Event, None],
    queue: asyncio.Queue[tuple[int, Event | Exception | None]],
) -> None:
    """Puts events into the queue, and at the end None or the error that was raised."""
    try:
        async with aclosing(events):
            async for event in events:
                await queue.put((index, event))
        await queue.put((index, None))
    except Exception as error:
        await queue.put((index, error))
