"""Server-sent events, as OpenAI's API and those like it write them."""

from typing import Any

import orjson

DONE = b"data: [DONE]\n\n"


def sse(data: Any) -> bytes:
    """One event without a name."""
    return b"data: " + orjson.dumps(data) + b"\n\n"


def named_sse(name: str, data: Any) -> bytes:
    """One event with a name."""
    return b"event: " + name.encode() + b"\n" + sse(data)


def typed_sse(event: dict[str, Any]) -> bytes:
    """One event with its `type` as its name."""
    return named_sse(event["type"], event)
