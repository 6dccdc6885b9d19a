"""One record for each call, for the log and the audit: lengths and hashes, never text."""

import asyncio
import hashlib
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from gateway.call import (
    Call,
    CallPiece,
    Event,
    Finished,
    Generate,
    Handler,
    Label,
    Text,
    Usage,
    is_whole,
)
from gateway.errors import GatewayError
from gateway.texts import texts_of

Write = Callable[[dict[str, Any]], None]

_ORIGIN_HEADERS = ("x-cache", "x-router")


class _Observation:
    """What is observed of a call while it runs."""

    def __init__(self, call: Call, hash_key: bytes, label: Label) -> None:
        self._call, self._label = call, label
        self._begun_s = time.monotonic()
        self._time = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._first_s: float | None = None
        self._input, self._output = _Digest(hash_key), _Digest(hash_key)
        self._reason = ""
        self.is_whole = False
        for _, text in texts_of(call.request):
            self._input.add(text)

    def see(self, event: Event) -> None:
        if self._first_s is None:
            self._first_s = time.monotonic() - self._begun_s
        if isinstance(event, Text | CallPiece):
            self._output.add(event.text if isinstance(event, Text) else event.arguments)
        if isinstance(event, Finished):
            self._reason = event.reason
        self.is_whole = self.is_whole or is_whole(event, self._call.request)

    def record(self, outcome: str, status: int) -> dict[str, Any]:
        """What happened to the call; `outcome` is ok, refused (4xx), failed (5xx) or cancelled.

        Hashes are keyed: equal texts have equal hashes, and without the key nobody can guess a text
        by its hash. Token ids have no hash.
        """
        call, request = self._call, self._call.request
        usage = call.usage or Usage()
        return {
            "time": self._time,
            "request_id": call.request_id,
            "key_id": call.caller.key_id,
            "tenant": call.caller.tenant,
            "kind": type(request).__name__.lower(),
            "model": self._label(request.model),
            "stream": isinstance(request, Generate) and request.stream,
            "outcome": outcome,
            "status": status,
            "reason": self._reason,
            "duration_s": round(time.monotonic() - self._begun_s, 6),
            "first_event_s": None if self._first_s is None else round(self._first_s, 6),
            "input_characters": self._input.characters,
            "input_hash": self._input.value(),
            "output_characters": self._output.characters,
            "output_hash": self._output.value(),
            "input_tokens": usage.input_tokens,
            "cached_tokens": usage.cached_tokens,
            "output_tokens": usage.output_tokens,
            "headers": origin_headers(call),
        }


def origin_headers(call: Call) -> dict[str, str]:
    """The headers of an answer that say which cache or model it comes from."""
    return {name: call.headers[name] for name in _ORIGIN_HEADERS if name in call.headers}


class _Digest:
    """A keyed hash of texts, with their length."""

    def __init__(self, key: bytes) -> None:
        self._hash = hashlib.blake2b(key=key[:64], digest_size=16)
        self.characters = 0

    def add(self, text: str) -> None:
        self.characters += len(text)
        self._hash.update(text.encode("utf-8", "surrogatepass"))

    def value(self) -> str:
        return self._hash.hexdigest() if self.characters else ""


def recorded(inner: Handler, write: Write, hash_key: bytes, label: Label) -> Handler:
    """Writes one record for each call when it ends, however it ends."""

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        seen = _Observation(call, hash_key, label)
        outcome, status = "failed", 500
        try:
            async with aclosing(inner(call)) as answer:
                async for event in answer:
                    seen.see(event)
                    yield event
            outcome, status = "ok", 200
        except GatewayError as error:
            outcome, status = "refused" if error.status < 500 else "failed", error.status
            raise
        except (GeneratorExit, asyncio.CancelledError):  # its client has left, or has read the end
            outcome, status = ("ok", 200) if seen.is_whole else ("cancelled", 499)
            raise
        finally:
            write(seen.record(outcome, status))

    return handle
