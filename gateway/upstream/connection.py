"""HTTP to one tritonserver. Why not gRPC: docs/decisions/0050-the-gateway-asks-over-http.md."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import orjson
from yarl import URL

from gateway.bounds import HEADER_LENGTH
from gateway.call import Call
from gateway.errors import DeadlinePassed, Unavailable, UpstreamFailed
from gateway.settings import Triton
from gateway.upstream.infer import (
    Outputs,
    Tensor,
    read_outputs,
    request_body,
)
from gateway.upstream.statuses import RETRY_AFTER_S, from_status

KEEP_ALIVE_S = 2.0
"""An idle connection holds up the end of a tritonserver, so none is kept for long."""

STATE_TIMEOUT_S = 5.0
"""For what Triton answers without a model."""

READ_BYTES = 64 * 2**10
"""Beyond it unread bytes of a stream wait in Triton, not here."""

_KEPT = ("content-type", HEADER_LENGTH)
_EVENT_END = b"\n\n"
_DATA = b"data: "


@dataclass(frozen=True)
class Whole:
    """The body of a response, and those of its headers that say how to read it, in lower case."""

    body: bytes
    headers: Mapping[str, str]

    @property
    def error(self) -> str:
        """The text of `{"error": …}`; empty where it is none."""
        return _message(self.body)


class EventReader:
    """Reads server-sent events out of the pieces of a stream."""

    def __init__(self) -> None:
        self._rest = b""

    def read(self, piece: bytes) -> Iterator[Any]:
        """The JSON of each event that ends in this piece."""
        *events, self._rest = (self._rest + piece).split(_EVENT_END)
        for event in events:
            yield orjson.loads(event.removeprefix(_DATA))


class Connection:
    """`async with Connection(settings) as triton:` in the event loop that uses it."""

    def __init__(self, settings: Triton) -> None:
        self.settings = settings
        self._url = f"http://{settings.http}"
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> "Connection":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE_S),
            read_bufsize=READ_BYTES,
            headers={"Accept-Encoding": "identity"},  # aiohttp asks for gzip, which costs both
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def json(self, method: str, path: str) -> Any:
        """What Triton says of itself, parsed; None for an empty body."""
        async with self.ask(method, path, silence_s=STATE_TIMEOUT_S) as response:
            return orjson.loads(await response.read() or b"null")

    async def metrics_page(self) -> bytes:
        """The models' metrics in Prometheus' text format; empty where Triton gives none."""
        url = f"http://{self.settings.metrics}/metrics"
        timeout = aiohttp.ClientTimeout(total=STATE_TIMEOUT_S)
        try:
            async with self._session.get(url, timeout=timeout) as response:
                return await response.read() if response.status == 200 else b""
        except (aiohttp.ClientError, TimeoutError):
            return b""

    async def events(
        self, call: Call, model: str, body: Any, silence_s: float
    ) -> AsyncGenerator[Any, None]:
        """The parsed events of `generate_stream`. Closing it ends the generation.

        Raises `DeadlinePassed` when nothing comes for `silence_s`.
        """
        path = f"/v2/models/{model}/generate_stream"
        headers = call.trace_headers
        async with self.ask(
            "POST", path, orjson.dumps(body), silence_s=silence_s, headers=headers
        ) as response:
            events = EventReader()
            async for piece in response.content.iter_any():
                for event in events.read(piece):
                    yield event

    async def infer(
        self, call: Call, model: str, inputs: Sequence[Tensor], outputs: Sequence[str]
    ) -> Outputs:
        """One answer of a model that gives one; raises `DeadlinePassed` at the call's deadline."""
        body = request_body(call, inputs, outputs)
        path = f"/v2/models/{model}/infer"
        found = await self.whole(path, body, call.trace_headers, call.deadline)
        return read_outputs(found.body, found.headers.get(HEADER_LENGTH, ""))

    async def whole(
        self, path: str, body: bytes, headers: Mapping[str, str], deadline: float | None
    ) -> Whole:
        """A response that comes at once; raises `DeadlinePassed`."""
        silence_s = self.settings.answer_timeout_s
        try:
            async with (
                asyncio.timeout_at(deadline),
                self.ask("POST", path, body, silence_s=silence_s, headers=headers) as response,
            ):
                kept = {n: response.headers[n] for n in _KEPT if n in response.headers}
                return Whole(await response.read(), kept)
        except TimeoutError:
            raise DeadlinePassed("the request's deadline passed") from None

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        silence_s: float,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A response of status 200; raises what the status of another one means."""
        timeout = aiohttp.ClientTimeout(
            sock_connect=self.settings.connect_timeout_s, sock_read=silence_s
        )
        try:
            async with self._session.request(
                method,
                URL(self._url + path, encoded=True),
                data=body,
                timeout=timeout,
                headers=headers,
            ) as response:
                if response.status != 200:
                    raise from_status(response.status, _message(await response.read()))
                yield response
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            raise Unavailable(
                "the models' server takes no connection; it may be starting",
                retry_after_s=RETRY_AFTER_S,
            ) from None
        except aiohttp.SocketTimeoutError:
            raise DeadlinePassed(
                f"nothing came from the model for {silence_s:g} s; it may have died"
            ) from None
        except (aiohttp.ClientError, orjson.JSONDecodeError) as error:
            raise UpstreamFailed(
                f"the models' server broke off its answer ({type(error).__name__})"
            ) from None


def _message(body: bytes) -> str:
    """The text of `{"error": …}`, which `generate_stream` sends as an event."""
    try:
        found = orjson.loads(body.strip().removeprefix(_DATA))["error"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return ""
    return str(found)
