"""Connections of clients, which end when one sends or takes nothing: uvicorn's, with bounds.

uvicorn waits for headers, and for a client to read, without an end. Clients that do neither would
hold connections, and streams that nobody reads would hold places in front of the models.
"""

import asyncio
import socket
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEADER_BYTES = 64 * 2**10
"""Most bytes of a request before its body."""

UNSENT_BYTES = 32 * 2**10
"""The kernel takes no more than this beyond what a client has room for. By default it takes up to
4 MiB, and a client that reads nothing would be seen megabytes too late."""

_END = b"content-length: 0\r\nconnection: close\r\n\r\n"


class ClientConnection(HttpToolsProtocol):
    """One client's connection; subclasses say how long it may be silent."""

    headers_s: float
    """Time for the headers of a request, from its first byte or the connection's beginning."""
    stalled_s: float
    """Time in which a client takes nothing of what waits for it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._headers_timer: asyncio.TimerHandle | None = None
        self._header_bytes = 0
        self._stalled_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_headers()
        self._end_stall()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._headers_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_headers()
        self._header_bytes += len(data)
        super().data_received(data)
        if self._headers_timer is not None and self._header_bytes > HEADER_BYTES:
            self._refuse(431)

    def on_headers_complete(self) -> None:
        self._end_headers()
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._await_reader(self.transport.get_write_buffer_size())

    def resume_writing(self) -> None:
        self._end_stall()
        super().resume_writing()

    def _await_headers(self) -> None:
        self._header_bytes = 0
        self._headers_timer = self.loop.call_later(self.headers_s, self._refuse, 408)

    def _end_headers(self) -> None:
        if self._headers_timer is not None:
            self._headers_timer.cancel()
            self._headers_timer = None

    def _refuse(self, status: int) -> None:
        """One that has sent nothing at all gets no answer: it may be kept for later use."""
        self._end_headers()
        if not self.transport.is_closing():
            if self._header_bytes:
                self.transport.write(STATUS_LINE[status] + _END)
            self.transport.close()

    def _await_reader(self, waiting_bytes: int) -> None:
        self._stalled_timer = self.loop.call_later(self.stalled_s, self._check, waiting_bytes)

    def _check(self, before_bytes: int) -> None:
        """Ends a connection whose client has taken nothing since the last look."""
        waiting_bytes = self.transport.get_write_buffer_size()
        if waiting_bytes < before_bytes:
            self._await_reader(waiting_bytes)
        else:
            self.transport.abort()

    def _end_stall(self) -> None:
        if self._stalled_timer is not None:
            self._stalled_timer.cancel()
            self._stalled_timer = None


def connection_class(headers_s: float, stalled_s: float) -> type[ClientConnection]:
    """The protocol with these bounds, which uvicorn makes for every connection."""
    bounds = {"headers_s": headers_s, "stalled_s": stalled_s}
    return type("BoundedConnection", (ClientConnection,), bounds)


def bound_unsent(listener: socket.socket) -> None:
    """Holds for all connections that the listener takes."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
