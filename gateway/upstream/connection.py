"""HTTP to one tritonserver. Why not gRPC: docs/decisions/0050-the-gateway-asks-over-http.md."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from gateway.call import Call
from gateway.errors import DeadlinePassed, Unavailable, UpstreamFailed
from gateway.settings import Triton
from gateway.upstream.infer import HEADER_LENGTH, Outputs, Tensor, read_outputs, request_body
from gateway.upstream.statuses import RETRY_AFTER_S, from_status

KEEP_ALIVE_S = 2.0
"""An idle connection holds up the end of a tritonserver, so none is kept for long."""

READ_BYTES = 64 * 2**10
"""Beyond it a stream that nobody reads fills Triton's buffer, not ours."""

_EVENT_END = b"\n\n"
_DATA = b"data: "


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
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def json(self, method: str, path: str, timeout_s: float = 5.0) -> Any:
        """What Triton answers, parsed; None for an empty body."""
        async with asyncio.timeout(timeout_s), self._ask(method, path) as response:
            return orjson.loads(await response.read() or b"null")

    async def events(self, model: str, body: Any, silence_s: float) -> AsyncGenerator[Any, None]:
        """The parsed events of `generate_stream`. Closing it ends the generation.

        Raises `DeadlinePassed` when nothing comes for `silence_s`.
        """
        path = f"/v2/models/{model}/generate_stream"
        async with self._ask("POST", path, orjson.dumps(body), silence_s) as response:
            rest = b""
            async for data in response.content.iter_any():
                *events, rest = (rest + data).split(_EVENT_END)
                for event in events:
                    yield orjson.loads(event.removeprefix(_DATA))

    async def infer(
        self, call: Call, model: str, inputs: Sequence[Tensor], outputs: Sequence[str]
    ) -> Outputs:
        """One answer of a model that gives one; raises `DeadlinePassed` at the call's deadline."""
        path, body = f"/v2/models/{model}/infer", request_body(call.request_id, inputs, outputs)
        try:
            async with asyncio.timeout_at(call.deadline), self._ask("POST", path, body) as response:
                length = response.headers.get(HEADER_LENGTH, "")
                return read_outputs(await response.read(), length)
        except TimeoutError:
            raise DeadlinePassed("the request's deadline passed") from None

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, body: bytes | None = None, silence_s: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        timeout = aiohttp.ClientTimeout(
            sock_connect=self.settings.connect_timeout_s, sock_read=silence_s
        )
        try:
            async with self._session.request(
                method, self._url + path, data=body, timeout=timeout
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
