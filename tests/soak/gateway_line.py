"""Requests to the gateway in the form of Triton's: the model is a path, the tensor a body."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx

from tests.chaos.requests import Request
from tests.chaos.traffic import End, Outcome, Reply

_TEXTS, _NUMBERS = ("content", "delta", "text"), ("embedding", "score")
"""Fields that say what was answered; others hold ids and times."""


class GatewayLine:
    """A connection to the gateway at `url`; one request at a time."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url)

    def __enter__(self) -> "GatewayLine":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def send(
        self, request: Request, bound_s: float, on_piece: Callable[[Any, str], None] | None = None
    ) -> Outcome:
        """Send and wait for the end. `on_piece` sees the answer, which it may cancel."""
        begun, answer = time.monotonic(), _Answer()
        try:
            end, error = self._send(request, bound_s, answer, on_piece or (lambda *_: None))
        except httpx.TimeoutException as timeout:
            end, error = "hung", type(timeout).__name__
        except httpx.HTTPError as broken:
            end, error = "error", f"{type(broken).__name__}: {broken}"
        now = time.monotonic()
        return Outcome(request, end, answer.reply(), error, now - begun, now)

    def _send(
        self,
        request: Request,
        bound_s: float,
        answer: "_Answer",
        on_piece: Callable[[Any, str], None],
    ) -> tuple[End, str]:
        body, headers = request.tensors[0].values[0], {"content-type": "application/json"}
        with self._client.stream(
            "POST", request.model, content=body, headers=headers, timeout=bound_s
        ) as response:
            if response.is_error:
                return "error", f"{response.status_code}: {response.read().decode()[:200]}"
            if "event-stream" not in response.headers["content-type"]:
                answer.add(json.loads(response.read()))
                return "answer", ""
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    on_piece(answer, answer.add(json.loads(line[6:])))
                if answer.is_cancelled:
                    return "cancelled", ""
            return ("error", answer.error) if answer.error else ("answer", "")


class _Answer:
    """What an answer has said so far."""

    def __init__(self) -> None:
        self.is_cancelled, self.error = False, ""
        self._texts: list[str] = []
        self._numbers: list[float] = []

    def cancel(self) -> None:
        self.is_cancelled = True

    def add(self, event: dict[str, Any]) -> str:
        """The text of an event."""
        if event.get("error"):
            self.error = str(event["error"])
        before = len(self._texts)
        for name, value in _fields(event):
            if name in _TEXTS and isinstance(value, str):
                self._texts.append(value)
            elif name in _NUMBERS:
                self._numbers += value if isinstance(value, list) else [value]
        return "".join(self._texts[before:])

    def reply(self) -> Reply:
        return Reply("".join(self._texts), tuple(self._numbers))


def _fields(value: Any) -> Iterator[tuple[str, Any]]:
    """All fields of a JSON value, inner ones too."""
    if isinstance(value, list):
        for one in value:
            yield from _fields(one)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name, inner
            yield from _fields(inner)
