"""Server-sent events, as OpenAI's API and those like it write them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def sse(data: Any) -> bytes:
    """One event without a name."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def named_sse(name: str, data: Any) -> bytes:
    """One event with a name."""
    return b"event: " + name.encode() + b"\n" + sse(data)


async def typed_events(
    events: AsyncGenerator[dict[str, Any], None], last: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """Each event with its `type` as its name, then `last`."""
    async with aclosing(events):
        async for event in events:
            yield named_sse(event["type"], event)
    if last:
        yield last
