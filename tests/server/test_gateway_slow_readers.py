"""A client that reads nothing, or a byte now and then, has its connection ended.

The answer has no end, so that it outlasts every buffer; what a connection's end does to generations
is for `tests/server/test_gateway_streams.py`.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn

from gateway.client_connection import bound_unsent, connection_class

CHUNK = b"a" * 4096
HELD_BYTES = 2**20
"""More than kernel and gateway hold for a client; what the answer would be has no end."""

BOUND_S = 60
REQUEST = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n"


class Endless:
    """An answer that is sent until its client is gone."""

    def __init__(self) -> None:
        self.sent_bytes = 0
        self.has_left = asyncio.Event()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        await receive()  # the request's body
        sending = asyncio.create_task(self._send(send))
        while (await receive())["type"] != "http.disconnect":
            pass
        sending.cancel()
        self.has_left.set()

    async def _send(self, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
            self.sent_bytes += len(CHUNK)
            await asyncio.sleep(0)


@asynccontextmanager
async def serving(app: Endless, stalled_s: float) -> AsyncIterator[tuple[str, int]]:
    """The address of the app behind the gateway's connections."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        bound_unsent(listener)
        protocol = connection_class(headers_s=BOUND_S, stalled_s=stalled_s)
        config = uvicorn.Config(app, http=protocol, lifespan="off", log_level="critical")
        server = uvicorn.Server(config)
        running = asyncio.create_task(server.serve(sockets=[listener]))
        yield listener.getsockname()
        server.should_exit = server.force_exit = True
        await running


async def left(bytes_each_time: int) -> Endless:
    """The app after a client that reads so much, now and then, was left."""
    app, loop = Endless(), asyncio.get_running_loop()
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        async with serving(app, stalled_s=0.3) as address, asyncio.timeout(BOUND_S):
            await loop.sock_connect(client, address)
            await loop.sock_sendall(client, REQUEST)
            while not app.has_left.is_set():
                await asyncio.sleep(0.05)
                if bytes_each_time and not app.has_left.is_set():
                    with contextlib.suppress(
                        ConnectionResetError
                    ):  # the app is told a moment later
                        await loop.sock_recv(client, bytes_each_time)
    return app


@pytest.mark.parametrize("bytes_each_time", [0, 1])
def test_a_client_that_takes_too_little_is_left(bytes_each_time: int) -> None:
    app = asyncio.run(left(bytes_each_time))
    assert 0 < app.sent_bytes < HELD_BYTES
