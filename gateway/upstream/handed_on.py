"""Requests in Triton's own protocol, handed on; their tokens are those that the answers tell."""

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.call import Call, Event, Finished, Generate, Handler, Relayed, Usage
from gateway.errors import UpstreamFailed
from gateway.upstream.connection import Connection, trace_headers
from gateway.upstream.infer import BINARY_SIZE, HEADER_LENGTH
from gateway.upstream.statuses import from_status

_INPUT, _OUTPUT = "num_input_tokens", "num_output_tokens"
_EVENT_END = b"\n\n"
_DATA = b"data: "


@dataclass(frozen=True)
class Sent:
    """A request as the client sent it; `parsed` is its JSON."""

    path: str
    body: bytes
    parsed: Any
    headers: Mapping[str, str]

    @property
    def is_of_tensors(self) -> bool:
        """Whether it is for `infer`, not for `generate`."""
        return self.path.endswith("/infer")

    def body_for(self, call: Call) -> bytes:
        """The body, with the longest answer that the key may have where `generate` names none."""
        most = call.request.sampling.max_tokens if isinstance(call.request, Generate) else None
        if most is None or self.is_of_tensors or self._names_max_tokens():
            return self.body
        return orjson.dumps({**self.parsed, "max_tokens": most})

    def _names_max_tokens(self) -> bool:
        return "max_tokens" in self.parsed or "max_tokens" in self.parsed.get("parameters", {})


def whole(triton: Connection, sent: Sent) -> Handler:
    """Yields the one response to a request."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        call.usage, told = Usage(), Told()
        headers = {**sent.headers, **trace_headers(call)}
        found = await triton.whole(sent.path, sent.body_for(call), headers, call.deadline)
        if found.body.startswith(b'{"error"'):  # Triton's 200 for several responses of a model
            raise from_status(400, found.error)
        call.headers.update({name.lower(): text for name, text in found.headers.items()})
        if sent.is_of_tensors:
            told.see_tensors(found.body, found.headers.get(HEADER_LENGTH, ""))
        else:
            told.see(found.body)
        yield Relayed(found.body)
        yield Finished("", _usage(call, told))

    return answer


def streamed(triton: Connection, sent: Sent) -> Handler:
    """Yields the events of `generate_stream` as they come."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        call.usage, told, is_empty = Usage(), Told(), True
        silence_s, body = triton.settings.inter_token_timeout_s, sent.body_for(call)
        headers = {**sent.headers, **trace_headers(call)}
        async with triton.ask(
            "POST", sent.path, body, silence_s=silence_s, headers=headers
        ) as response:
            async for piece in response.content.iter_any():
                told.see_piece(piece)
                call.usage, is_empty = told.usage, False
                yield Relayed(piece)
        if is_empty:
            raise UpstreamFailed("the models' server gave no event")
        yield Finished("", _usage(call, told))

    return answer


def _usage(call: Call, told: "Told") -> Usage:
    """What was told; a generation that tells nothing is booked at its bounds."""
    if told.usage != Usage() or not isinstance(call.request, Generate):
        return told.usage
    return Usage(0, call.request.sampling.max_tokens or 0)


@dataclass
class Told:
    """What the responses of one request say of their tokens."""

    usage: Usage = field(default_factory=Usage)
    _rest: bytes = b""

    def see_piece(self, piece: bytes) -> None:
        """Takes in a piece of a stream of events."""
        *events, self._rest = (self._rest + piece).split(_EVENT_END)
        for event in events:
            self.see(event.removeprefix(_DATA))

    def see(self, body: bytes) -> None:
        """Takes in one whole response of `generate`."""
        self._see(orjson.loads(body))

    def see_tensors(self, body: bytes, header_length: str = "") -> None:
        """Takes in one whole response of `infer`."""
        head = orjson.loads(body[: int(header_length)] if header_length else body)
        self._see(dict(_outputs(head.get("outputs", []), body)))

    def _see(self, named: Mapping[str, Any]) -> None:
        read, written = _first(named.get(_INPUT)), _first(named.get(_OUTPUT)) or 0
        self.usage = Usage(read or self.usage.input_tokens, self.usage.output_tokens + written)


def _outputs(outputs: list[Any], body: bytes) -> Iterator[tuple[str, Any]]:
    """Numbers of tensors as JSON, or as bytes at the end of the body."""
    sizes = [output.get("parameters", {}).get(BINARY_SIZE, 0) for output in outputs]
    start = len(body) - sum(sizes)
    for output, size in zip(outputs, sizes, strict=True):
        if output["name"] in (_INPUT, _OUTPUT):
            data = int.from_bytes(body[start : start + size], "little")
            yield output["name"], output.get("data", data)
        start += size


def _first(given: Any) -> int | None:
    """Out of `4`, `[4]` or `[[4]]`."""
    while isinstance(given, list) and given:
        given = given[0]
    return given if isinstance(given, int) else None
