"""Headers for Anthropic's clients, in addition to those of all APIs."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PATHS = "/v1/messages"
_DURATION = re.compile(r"(?:(?P<m>\d+)m(?!s))?(?:(?P<s>[\d.]+)s)?(?:(?P<ms>\d+)ms)?")


class AnthropicHeaders:
    """Middleware that adds `request-id`, and the rest of the limits as `anthropic-ratelimit-…`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(_PATHS):
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                request_id = scope["state"]["request_id"]
                headers.update({"request-id": request_id, **dict(_limits(headers))})
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _limits(headers: Headers) -> Iterator[tuple[str, str]]:
    """Anthropic's headers of limits: resets are points in time, not durations as in OpenAI's."""
    for kind in ("requests", "tokens"):
        for what in ("limit", "remaining", "reset"):
            if (found := headers.get(f"x-ratelimit-{what}-{kind}")) is not None:
                yield (
                    f"anthropic-ratelimit-{kind}-{what}",
                    _moment(found) if what == "reset" else found,
                )


def _moment(duration: str) -> str:
    """The time after `duration` from now, in RFC 3339; whole seconds, rounded up."""
    found = _DURATION.fullmatch(duration)
    assert found is not None, duration
    minutes, seconds, ms = (float(found[unit] or 0) for unit in ("m", "s", "ms"))
    left = timedelta(minutes=minutes, seconds=seconds, milliseconds=ms + 999)
    return (datetime.now(UTC) + left).strftime("%Y-%m-%dT%H:%M:%SZ")
