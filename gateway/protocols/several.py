"""Several answers to one request: `n` choices, a list of prompts."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress

from gateway.call import Event

Answers = Sequence[AsyncGenerator[Event, None]]


async def merged(answers: Answers) -> AsyncGenerator[tuple[int, Event], None]:
    """Events of all answers as they come, with the answer's index.

    The first error ends them all. At most one event of each waits for its reader.
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
    """None at the end, or what was raised."""
    try:
        async with aclosing(events):
            async for event in events:
                await queue.put((index, event))
        await queue.put((index, None))
    except Exception as error:
        await queue.put((index, error))
