"""uvicorn's connections of clients, with limits: they end if a client sends or reads nothing.

uvicorn waits without limit for headers, and for a client to read. Such clients would hold
connections, and streams that nobody reads would hold places in front of the models. uvicorn also
collects what is sent during an answer, treats trailers as headers, loses the body of a request that
offers an upgrade, and sends chunks to HTTP/1.0.
"""

import asyncio
import socket
from functools import partial
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from gateway.protocols.response import SEND

HEADER_BYTES = 64 * 2**10
"""Most bytes of a request besides its body."""

UNSENT_BYTES = 32 * 2**10
"""Most bytes that the kernel buffers beyond what the client can receive. With its default of up to
4 MiB, a client that reads nothing would be noticed megabytes too late."""

LEAST_TAKEN_BYTES = 48 * 2**10
"""Least bytes that a client must read in `stalled_s`: the difference of the marks at which writing
pauses and continues. A client that reads a byte now and then is like one that reads nothing."""

_END = b"content-length: 0\r\nconnection: close\r\n\r\n"
_HOP_BY_HOP = (b"connection", b"upgrade", b"http2-settings")


class _TooEarly(Exception):
    """A request that came before the previous one was answered."""


class _TwoHosts(Exception):
    """A request with more than one Host: programs that read different ones would disagree."""


class ClientConnection(HttpToolsProtocol):
    """One client's connection; subclasses say how long it may be silent.

    It has one request at a time. If a client sends the next one before its answer, the connection
    is closed after that answer: requests that wait here would hide that the client leaves.
    """

    headers_s: float
    """Time for the headers of a request, from its first byte or the connection's beginning."""
    stalled_s: float
    """Time in which a client must read `LEAST_TAKEN_BYTES` of what waits for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_timer: asyncio.TimerHandle | None = None
        self._overhead_bytes = 0
        """Bytes of headers, trailers and frames of chunks, less one for each byte of the body."""
        self._stalled_timer: asyncio.TimerHandle | None = None
        self._is_too_early = False
        """Whether the client sent more before its answer; that is not read."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_headers()
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_too_early or self.transport.is_closing():
            return
        if self._headers_timer is None and not self._has_request:
            self._await_headers()
        self._overhead_bytes += len(data)
        self._feed(data)
        if self._overhead_bytes > HEADER_BYTES:
            self._refuse(431)

    def on_message_begin(self) -> None:
        if self._has_request:
            raise _TooEarly
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headers_timer is not None:  # else it is a trailer
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self.parser.should_upgrade():
            self._end_headers()
            if [name for name, _ in self.headers].count(b"host") > 1:
                raise _TwoHosts
            super().on_headers_complete()
            if self.parser.get_http_version() == "1.0":
                # Its task has not begun yet, and asks for this then.
                self.cycle.send = partial(_send_unframed, self.cycle)  # type: ignore[method-assign]
            else:
                self.scope[SEND] = self.send_part  # type: ignore[literal-required]

    async def send_part(self, body: bytes) -> None:
        """Send a part of an answer, after its head and before its last part."""
        if self.flow.write_paused:
            await self.flow.drain()
        if body and not self.cycle.disconnected:  # an empty chunk would end the body
            self.transport.write(b"%x\r\n%b\r\n" % (len(body), body))

    def on_body(self, body: bytes) -> None:
        self._overhead_bytes = max(0, self._overhead_bytes - 2 * len(body))
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    @property
    def _has_request(self) -> bool:
        """Whether a request is not answered yet; its body may still be coming."""
        return self.cycle is not None and not self.cycle.response_complete

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._without_upgrade(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            if self._has_request and not self.cycle.more_body:
                self._is_too_early, self.cycle.keep_alive = True, False
            else:
                self.send_400_response("Invalid HTTP request received.")

    def _without_upgrade(self, rest: bytes) -> None:
        """Parse the request again without its offer of another protocol, because of which the
        parser has stopped after the headers. Java's client offers HTTP/2 with every request."""
        method, version = self.parser.get_method(), self.parser.get_http_version()
        if method == b"CONNECT":
            self.send_400_response("CONNECT is not offered.")
            return
        lines = [b"%s %s HTTP/%s" % (method, self.url, version.encode())]
        lines += [b"%s: %s" % each for each in self.headers if each[0] not in _HOP_BY_HOP]
        self.parser = httptools.HttpRequestParser(self)
        self._feed(b"\r\n".join(lines) + b"\r\n\r\n" + rest)

    def _await_headers(self) -> None:
        self._overhead_bytes = 0
        self._headers_timer = self.loop.call_later(self.headers_s, self._refuse, 408)

    def _end_headers(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _refuse(self, status: int) -> None:
        """Answer with `status` and close; a client that has sent nothing gets no answer: it may
        keep the connection for later use."""
        self._end_headers()
        if not self.transport.is_closing():
            if self._overhead_bytes and not (self._has_request and self.cycle.response_started):
                self.transport.write(STATUS_LINE[status] + _END)
            self.transport.close()

    def _await_reader(self, waiting_bytes: int) -> None:
        self._stalled_timer = self.loop.call_later(self.stalled_s, self._check, waiting_bytes)

    def _check(self, before_bytes: int) -> None:
        """End the connection if its client has read too little since the last check."""
        waiting_bytes = self.transport.get_write_buffer_size()
        if before_bytes - waiting_bytes >= LEAST_TAKEN_BYTES:
            self._await_reader(waiting_bytes)
        else:
            self.transport.abort()

    def _end_stall(self) -> None:
        if self._stalled_timer is not None:
            self._stalled_timer.cancel()
            self._stalled_timer = None


async def _send_unframed(cycle: RequestResponseCycle, message: Any) -> None:
    """Send to HTTP/1.0, which has no chunks: a body without a length ends with the connection."""
    if message["type"] == "http.response.start":
        if b"content-length" not in dict(message.get("headers", ())):
            cycle.chunked_encoding = False
    elif not cycle.expected_content_length:
        cycle.expected_content_length = len(message.get("body", b""))
    await type(cycle).send(cycle, message)


def connection_class(headers_s: float, stalled_s: float) -> type[ClientConnection]:
    """The class with these limits, of which uvicorn makes an object for every connection."""
    bounds = {"headers_s": headers_s, "stalled_s": stalled_s}
    return type("BoundedConnection", (ClientConnection,), bounds)


def bound_unsent(listener: socket.socket) -> None:
    """Set `UNSENT_BYTES` for all connections that the listener accepts."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
