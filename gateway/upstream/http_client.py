"""A client of HTTP/1.1 for one server. No library is used, because every chunk of every stream
passes it: docs/decisions/0050-the-gateway-asks-over-http.md.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial

import httptools

from gateway.address import Address
from gateway.errors import DeadlinePassed, GatewayError, Unavailable, UpstreamFailed
from gateway.upstream.statuses import RETRY_AFTER_S

KEEP_ALIVE_S = 2.0
"""How long an idle connection is kept: not long, because it delays the end of a tritonserver."""

UNREAD_BYTES = 64 * 2**10
"""Most unread bytes of a response that are kept here; more wait in the server."""


class _Unanswered(UpstreamFailed):
    """The connection ended before any byte of the response came."""


class HttpConnection(asyncio.Protocol):
    """One connection: a request, then the pieces of its response, then perhaps the next request."""

    transport: asyncio.Transport

    def __init__(self, idle: dict["HttpConnection", None]) -> None:
        self._idle, self._loop = idle, asyncio.get_running_loop()
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: list[bytes] = []
        self._unread_bytes = 0
        self._is_whole = True
        """Whether the response is complete, or there is none."""
        self._has_begun = False
        """Whether any byte of the response has come."""
        self._fault: GatewayError | None = None
        """The error because of which nothing more comes."""
        self._news: asyncio.Future[None] | None = None
        """The future that the reader waits for, since `_waits_s` of the loop's clock."""
        self._waits_s = self._silence_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.status = 0
        """The response's status; 0 until it comes."""
        self.headers: dict[str, str] = {}
        """The response's headers; names are in lower case."""

    async def send(self, head: bytes, body: bytes, silence_s: float) -> None:
        """Returns when the head of the response is there.

        This and `piece` raise `DeadlinePassed` when nothing comes for `silence_s`, and
        `UpstreamFailed` when the connection ends before the response.
        """
        self._is_whole, self._has_begun, self.status, self.headers = False, False, 0, {}
        self.transport.writelines((head, body))
        self._silence_s = silence_s
        self._set_timer(silence_s, self._end_if_silent)
        while not self.status:
            await self._more()

    async def piece(self) -> bytes:
        """The part of the body that has come; empty at its end."""
        while not self._pieces and not self._is_whole:
            await self._more()
        piece = b"".join(self._pieces)
        self._pieces.clear()
        if self._unread_bytes > UNREAD_BYTES and not self.transport.is_closing():
            self.transport.resume_reading()
        self._unread_bytes = 0
        return piece

    async def read(self) -> bytes:
        """The rest of the body."""
        pieces = []
        while piece := await self.piece():
            pieces.append(piece)
        return b"".join(pieces)

    def release(self) -> None:
        """Keeps the connection for the next request, if the response was read to its end."""
        self._news = None
        if self._is_whole and not self._pieces and not self.transport.is_closing():
            self._idle[self] = None
            self._set_timer(KEEP_ALIVE_S, self.transport.close)
        else:
            self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._end(UpstreamFailed("the models' server sent what is no HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.pop(self, None)
        kind = UpstreamFailed if self._has_begun else _Unanswered
        self._end(kind("the models' server broke off its answer"))

    def on_message_begin(self) -> None:
        if self._is_whole:
            raise UpstreamFailed("the models' server answered what nobody asked")
        self._has_begun = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._pieces.append(body)
        self._unread_bytes += len(body)
        if self._unread_bytes > UNREAD_BYTES:
            self.transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        self._is_whole = True
        if not self._parser.should_keep_alive():
            self.transport.close()
        self._wake()

    def _more(self) -> asyncio.Future[None]:
        if self._fault is not None:
            raise self._fault
        self._waits_s = self._loop.time()
        self._news = self._loop.create_future()
        return self._news

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _end(self, fault: GatewayError) -> None:
        self._fault = self._fault or fault
        self._stop_timer()
        self.transport.abort()
        self._wake()

    def _end_if_silent(self) -> None:
        """End after a silence of the server. It is none if the reader got data meanwhile, or does
        not wait: then the client is slow."""
        is_waiting = self._news is not None and not self._news.done()
        left_s = self._silence_s - (self._loop.time() - self._waits_s if is_waiting else 0.0)
        if left_s > 0:
            self._set_timer(left_s, self._end_if_silent)
            return
        text = f"nothing came from the model for {self._silence_s:g} s; it may have died"
        self._end(DeadlinePassed(text))

    def _set_timer(self, after_s: float, then: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self._loop.call_later(after_s, then)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class HttpClient:
    """Connections to one server. One without a request is closed after `KEEP_ALIVE_S`."""

    def __init__(self, address: str, connect_timeout_s: float) -> None:
        self._address = Address.parse(address)
        self._connect_timeout_s = connect_timeout_s
        self._idle: dict[HttpConnection, None] = {}

    def close(self) -> None:
        for connection in self._idle:
            connection.transport.close()

    @asynccontextmanager
    async def ask(
        self,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        silence_s: float,
        *,
        may_repeat: bool = True,
    ) -> AsyncIterator[HttpConnection]:
        """The connection once the head of the response is there, whatever its status; the request
        ends with the block. Raises `Unavailable` where there is no connection.

        A server may close a kept connection just when it is used again. A request without any
        answer is then sent again, on a new connection, if it `may_repeat`: if it changes nothing.
        """
        head = self._head(method, path, body, headers)
        kept = self._kept()
        connection = kept or await self._new()
        try:
            try:
                await connection.send(head, body, silence_s)
            except _Unanswered:
                if kept is None or not may_repeat:
                    raise
                connection = await self._new()
                await connection.send(head, body, silence_s)
            yield connection
        finally:
            connection.release()

    def _kept(self) -> HttpConnection | None:
        while self._idle:
            connection, _ = self._idle.popitem()
            if not connection.transport.is_closing():
                return connection
        return None

    async def _new(self) -> HttpConnection:
        host, port = self._address.host, self._address.port
        new = partial(HttpConnection, self._idle)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, made = await asyncio.get_running_loop().create_connection(new, host, port)
        except OSError:  # it includes TimeoutError
            raise Unavailable(
                "the models' server takes no connection; it may be starting",
                retry_after_s=RETRY_AFTER_S,
            ) from None
        return made

    def _head(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> bytes:
        given = [f"{name}: {text}" for name, text in headers.items()]
        lines = [f"{method} {path} HTTP/1.1", f"host: {self._address}", *given]
        head = "\r\n".join([*lines, f"content-length: {len(body)}", "", ""])
        if head.count("\r") + head.count("\n") != 2 * (len(lines) + 2):
            raise ValueError("a path or a header with a line end")
        return head.encode()
