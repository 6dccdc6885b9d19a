"""Relays requests in Triton's own protocol. Their token counts come from the responses.

No request is repeated: another model than this repository's may change something.
"""

from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.bounds import HEADER_LENGTH
from gateway.call import MODEL_VERSION, Call, Event, Finished, Generate, Handler, Relayed, Usage
from gateway.errors import UpstreamFailed
from gateway.upstream.connection import Connection, EventReader
from gateway.upstream.infer import BINARY_SIZE, first_number
from gateway.upstream.statuses import from_status

_INPUT, _OUTPUT = "num_input_tokens", "num_output_tokens"


@dataclass(frozen=True)
class Sent:
    """A request as the client sent it; `parsed` is its JSON."""

    path: str
    body: bytes
    parsed: Any
    headers: Mapping[str, str]

    @property
    def is_of_tensors(self) -> bool:
        """Whether the request is for `infer`, not for `generate`."""
        return self.path.endswith("/infer")

    def body_for(self, call: Call) -> bytes:
        """The body, with the `max_tokens` that the key allows if `generate` has none."""
        most = call.request.sampling.max_tokens if isinstance(call.request, Generate) else None
        if most is None or self.is_of_tensors or self._names_max_tokens():
            return self.body
        return orjson.dumps({**self.parsed, "max_tokens": most})

    def _names_max_tokens(self) -> bool:
        return "max_tokens" in self.parsed or "max_tokens" in self.parsed.get("parameters", {})


def whole(triton: Connection, sent: Sent) -> Handler:
    """Yields the one response to a request."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        call.usage, count = Usage(), TokenCount()
        headers, body = {**sent.headers, **call.trace_headers}, sent.body_for(call)
        found = await triton.whole(sent.path, body, headers, call.deadline, may_repeat=False)
        if found.body.startswith(b'{"error"'):  # status 200: a model gave several responses
            raise from_status(400, found.error)
        call.headers.update(found.headers)
        if sent.is_of_tensors:
            count.add_tensors(found.body, found.headers.get(HEADER_LENGTH, ""))
        else:
            count.add(found.body)
        call.headers.update(count.headers)
        yield Relayed(found.body)
        yield Finished("", _usage(call, count))

    return answer


def streamed(triton: Connection, sent: Sent) -> Handler:
    """Yields the events of `generate_stream` as they come."""

    async def answer(call: Call) -> AsyncGenerator[Event, None]:
        call.usage, count, is_empty = Usage(), TokenCount(), True
        silence_s, body = triton.settings.inter_token_timeout_s, sent.body_for(call)
        headers = {**sent.headers, **call.trace_headers}
        async with triton.ask(
            "POST", sent.path, body, silence_s=silence_s, headers=headers, may_repeat=False
        ) as response:
            while piece := await response.piece():
                count.add_piece(piece)
                call.headers.update(count.headers)
                call.usage, is_empty = count.usage, False
                yield Relayed(piece)
        if is_empty:
            raise UpstreamFailed("the models' server gave no event")
        yield Finished("", _usage(call, count))

    return answer


def _usage(call: Call, count: "TokenCount") -> Usage:
    """What was counted; a generation without counts is charged its `max_tokens`."""
    if count.usage != Usage() or not isinstance(call.request, Generate):
        return count.usage
    return Usage(0, call.request.sampling.max_tokens or 0)


@dataclass
class TokenCount:
    """Adds up the tokens that the responses to one request report."""

    usage: Usage = field(default_factory=Usage)
    headers: dict[str, str] = field(default_factory=dict)
    """A header with the version of the model, once a response has named it."""
    _events: EventReader = field(default_factory=EventReader)

    def add_piece(self, piece: bytes) -> None:
        """Adds the events that end in this piece of a stream."""
        for event in self._events.read(piece):
            self._add(event)

    def add(self, body: bytes) -> None:
        """Adds one response of `generate`."""
        self._add(orjson.loads(body))

    def add_tensors(self, body: bytes, header_length: str = "") -> None:
        """Adds one response of `infer`; `header_length` is that of its JSON in bytes."""
        head = orjson.loads(body[: int(header_length)] if header_length else body)
        self._add({**head, **dict(_outputs(head.get("outputs", []), body))})

    def _add(self, named: Mapping[str, Any]) -> None:
        read, written = first_number(named.get(_INPUT)), first_number(named.get(_OUTPUT)) or 0
        self.usage = Usage(read or self.usage.input_tokens, self.usage.output_tokens + written)
        if version := named.get("model_version"):
            self.headers[MODEL_VERSION] = version


def _outputs(outputs: list[Any], body: bytes) -> Iterator[tuple[str, Any]]:
    """The token counts among the tensors, in JSON or in the bytes after it."""
    sizes = [output.get("parameters", {}).get(BINARY_SIZE, 0) for output in outputs]
    start = len(body) - sum(sizes)
    for output, size in zip(outputs, sizes, strict=True):
        if output["name"] in (_INPUT, _OUTPUT):
            data = int.from_bytes(body[start : start + size], "little")
            yield output["name"], output.get("data", data)
        start += size
