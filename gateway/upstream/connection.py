"""HTTP to one tritonserver. Why not gRPC: docs/decisions/0050-the-gateway-asks-over-http.md."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from gateway.bounds import HEADER_LENGTH
from gateway.call import Call
from gateway.errors import DeadlinePassed, GatewayError, UpstreamFailed
from gateway.settings import Triton
from gateway.upstream.http_client import HttpClient, HttpConnection
from gateway.upstream.infer import Outputs, Tensor, read_outputs, request_body
from gateway.upstream.statuses import from_status

STATE_TIMEOUT_S = 5.0
"""Timeout for what Triton answers without a model."""

_KEPT = ("content-type", HEADER_LENGTH)
_EVENT_END = b"\n\n"
_DATA = b"data: "


@dataclass(frozen=True)
class WholeResponse:
    """The body of a response, and the headers that say how to read it, with names in lower case."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def error(self) -> str:
        """The text of `{"error": …}`; empty if the body is no such object."""
        return _message(self.body)


class EventReader:
    """Reads server-sent events from the pieces of a stream."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, piece: bytes) -> Iterator[Any]:
        """The JSON of each event that ends in this piece."""
        *events, self._rest = (self._rest + piece).split(_EVENT_END)
        for event in events:
            yield orjson.loads(event.removeprefix(_DATA))


class Connection:
    """The connection; use `async with Connection(settings) as triton:` in its event loop."""

    def __init__(self, settings: Triton) -> None:
        self.settings = settings
        self._http = HttpClient(settings.http, settings.connect_timeout_s)
        self._metrics = HttpClient(settings.metrics, settings.connect_timeout_s)

    async def __aenter__(self) -> "Connection":
        return self

    async def __aexit__(self, *_: object) -> None:
        self._http.close()
        self._metrics.close()

    async def json(self, method: str, path: str) -> Any:
        """Triton's JSON about itself, parsed; None for an empty body."""
        async with self.ask(method, path, silence_s=STATE_TIMEOUT_S) as response:
            return orjson.loads(await response.read() or b"null")

    async def metrics_page(self) -> bytes:
        """The models' metrics in Prometheus' text format; empty where Triton gives none."""
        try:
            async with self._metrics.ask("GET", "/metrics", b"", {}, STATE_TIMEOUT_S) as response:
                return await response.read() if response.status == 200 else b""
        except GatewayError:
            return b""

    def stream(
        self, call: Call, model: str, body: Any, silence_s: float
    ) -> AbstractAsyncContextManager[HttpConnection]:
        """The response of `generate_stream`; the generation ends with the block.

        Raises `DeadlinePassed` when nothing comes for `silence_s`.
        """
        path = f"/v2/models/{model}/generate_stream"
        headers = call.trace_headers
        return self.ask("POST", path, orjson.dumps(body), silence_s=silence_s, headers=headers)

    async def infer(
        self, call: Call, model: str, inputs: Sequence[Tensor], outputs: Sequence[str]
    ) -> Outputs:
        """One answer of a model that gives one; raises `DeadlinePassed` at the call's deadline."""
        body = request_body(call, inputs, outputs)
        path = f"/v2/models/{model}/infer"
        found = await self.whole(path, body, call.trace_headers, call.deadline)
        return read_outputs(found.body, found.headers.get(HEADER_LENGTH, ""))

    async def whole(
        self,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float | None,
        *,
        may_repeat: bool = True,
    ) -> WholeResponse:
        """A response that is no stream; raises `DeadlinePassed`."""
        silence_s = self.settings.answer_timeout_s
        asking = self.ask(
            "POST", path, body, silence_s=silence_s, headers=headers, may_repeat=may_repeat
        )
        try:
            async with asyncio.timeout_at(deadline), asking as response:
                kept = {n: response.headers[n] for n in _KEPT if n in response.headers}
                return WholeResponse(await response.read(), kept)
        except TimeoutError:
            raise DeadlinePassed("the request's deadline passed") from None

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        *,
        silence_s: float,
        headers: Mapping[str, str] = MappingProxyType({}),
        may_repeat: bool = True,
    ) -> AsyncIterator[HttpConnection]:
        """A response of status 200; raises the error that another status means."""
        asked = (method, path, body, headers, silence_s)
        async with self._http.ask(*asked, may_repeat=may_repeat) as response:
            if response.status != 200:
                raise from_status(response.status, _message(await response.read()))
            try:
                yield response
            except orjson.JSONDecodeError:
                raise UpstreamFailed("the models' server sent what is no JSON") from None


def _message(body: bytes) -> str:
    """The text of `{"error": …}`, which `generate_stream` sends as an event."""
    try:
        found = orjson.loads(body.strip().removeprefix(_DATA))["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return str(found)
