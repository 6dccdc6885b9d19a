"""The gateway's HTTP client before servers that cut, break off, are silent or send too much."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
import uvloop

from gateway.errors import DeadlinePassed, GatewayError, Unavailable, UpstreamFailed
from gateway.upstream import http_client
from gateway.upstream.http_client import UNREAD_BYTES, HttpClient, HttpConnection

BOUND_S = 30.0
HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKED = HEAD + b"4\r\nfour\r\n5\r\n\r\nten\r\n0\r\n\r\n"
SIZED = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\nX-Kept: it is\r\n\r\nfour\r\nten"
BODY = b"four\r\nten"

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Peer:
    """A server; `answer` is called for every request."""

    def __init__(self, answer: Answer) -> None:
        self._answer, self.requests = answer, list[bytes]()
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await request(reader):
            self.requests.append(head)
            await self._answer(reader, writer)
        writer.close()


async def request(reader: asyncio.StreamReader) -> bytes:
    """The next request's head; empty where the client has left."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.rpartition(b"content-length: ")[2]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    return head


@asynccontextmanager
async def asking(answer: Answer) -> AsyncIterator[tuple[Peer, HttpClient]]:
    peer = Peer(answer)
    server = await asyncio.start_server(peer.serve, "127.0.0.1")
    host, port = server.sockets[0].getsockname()
    client = HttpClient(f"{host}:{port}", BOUND_S)
    async with asyncio.timeout(BOUND_S):
        yield peer, client
    client.close()
    server.close()


def ask(
    client: HttpClient, silence_s: float = BOUND_S
) -> AbstractAsyncContextManager[HttpConnection]:
    return client.ask("POST", "/path", b"{}", {"traceparent": "a b"}, silence_s)


def sends(*pieces: bytes, ends: bool = False) -> Answer:
    """Answers with these pieces; a reader may get each by itself."""

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        if ends:
            writer.close()

    return answer


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def fault(answer: Answer, silence_s: float = BOUND_S) -> GatewayError:
    async with asking(answer) as (_, client):
        with pytest.raises(GatewayError) as raised:
            async with ask(client, silence_s) as response:
                await response.read()
    return raised.value


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_response_is_read_however_it_is_cut(size: int) -> None:
    async def test() -> None:
        for whole, status in ((CHUNKED, 200), (SIZED, 400)):
            cut = [whole[start : start + size] for start in range(0, len(whole), size)]
            async with asking(sends(*cut)) as (peer, client):
                for _ in range(2):
                    async with ask(client) as response:
                        assert (response.status, await response.read()) == (status, BODY)
            assert peer.connections == 1
            first, second = peer.requests
            assert first == second
            assert b"POST /path HTTP/1.1\r\n" in first
            assert b"\r\ntraceparent: a b\r\n" in first
        assert response.headers["x-kept"] == "it is"

    uvloop.run(test())


@pytest.mark.parametrize("length", [0, 5, CHUNKED.index(b"four"), len(CHUNKED) - 3])
def test_a_response_that_breaks_off_is_the_servers_fault(length: int) -> None:
    error = uvloop.run(fault(sends(CHUNKED[:length], ends=True)))
    assert (isinstance(error, UpstreamFailed), "broke off" in str(error)) == (True, True)


@pytest.mark.parametrize("garbage", [b"SSH-2.0-x\r\n", HEAD + b"not hex\r\n"])
def test_what_is_no_http_is_the_servers_fault(garbage: bytes) -> None:
    error = uvloop.run(fault(sends(garbage)))
    assert (type(error), "no HTTP" in str(error)) == (UpstreamFailed, True)


@pytest.mark.parametrize("length", [0, 20, CHUNKED.index(b"ten")])
def test_silence_is_bounded(length: int) -> None:
    async def begins(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(CHUNKED[:length])
        await reader.read()

    assert isinstance(uvloop.run(fault(begins, silence_s=0.05)), DeadlinePassed)


def test_a_server_that_takes_no_connection_is_away() -> None:
    async def test() -> None:
        async with asking(silent) as (_, client):
            pass
        with pytest.raises(Unavailable, match="takes no connection"):
            async with ask(client):
                pass

    uvloop.run(test())


def test_leaving_ends_the_connection() -> None:
    async def test() -> None:
        has_left = asyncio.Event()

        async def streams(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(CHUNKED[: CHUNKED.index(b"5\r\n")])
            await reader.read()
            has_left.set()

        async with asking(streams) as (_, client):
            async with ask(client) as response:
                assert await response.piece() == b"four"
            await has_left.wait()

    uvloop.run(test())


def test_what_nobody_reads_waits_in_the_server_and_is_no_silence() -> None:
    async def test() -> None:
        count, chunk = 1024, b"4000\r\n" + b"a" * 0x4000 + b"\r\n"
        sent, silence_s = 0, 0.05

        async def much(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            writer.write(HEAD)
            for _number in range(count):
                writer.write(chunk)
                await writer.drain()
                sent += 1
            writer.write(b"0\r\n\r\n")

        async with asking(much) as (_, client), ask(client, silence_s) as response:
            before = -1
            while before < sent:
                before = sent
                await asyncio.sleep(2 * silence_s)
            assert sent < count
            assert len(await response.piece()) <= UNREAD_BYTES + 256 * 1024  # uvloop's buffer
            await response.read()
            assert sent == count

    uvloop.run(test())


def test_a_connection_that_ended_or_spoke_unasked_is_not_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def connections(answer: Answer) -> int:
        async with asking(answer) as (peer, client):
            for _ in range(2):
                async with ask(client) as response:
                    assert await response.read() == BODY
                while client._idle:
                    await asyncio.sleep(0.01)
        return peer.connections

    closing = CHUNKED.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
    assert uvloop.run(connections(sends(CHUNKED, ends=True))) == 2
    assert uvloop.run(connections(sends(CHUNKED + CHUNKED))) == 2
    assert uvloop.run(connections(sends(closing))) == 2
    monkeypatch.setattr(http_client, "KEEP_ALIVE_S", 0.01)
    assert uvloop.run(connections(sends(CHUNKED))) == 2


@pytest.mark.parametrize(
    ("may_repeat", "begins", "is_answered"),
    [(True, b"", True), (False, b"", False), (True, b"HTTP/1.1 200 OK\r\n", False)],
    ids=["repeats", "may change something", "has begun to answer"],
)
def test_a_request_that_a_kept_connection_lost_is_sent_once_more(
    may_repeat: bool, begins: bytes, is_answered: bool
) -> None:
    """The server ends the connection just when the request is on its way."""

    async def test() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            is_lost = len(peer.requests) == 2
            writer.write(begins if is_lost else CHUNKED)
            if is_lost:
                writer.close()

        async with asking(answer) as (peer, client):
            async with ask(client) as response:
                await response.read()
            given = ("POST", "/path", b"{}", {"traceparent": "a b"}, BOUND_S)
            try:
                async with client.ask(*given, may_repeat=may_repeat) as response:
                    assert await response.read() == BODY
            except UpstreamFailed:
                assert not is_answered
            assert len(peer.requests) == (3 if is_answered else 2)
            assert len(set(peer.requests)) == 1

    uvloop.run(test())


def test_a_request_that_a_new_connection_lost_is_not_repeated() -> None:
    async def test() -> None:
        async with asking(sends(b"", ends=True)) as (peer, client):
            with pytest.raises(UpstreamFailed, match="broke off"):
                async with ask(client):
                    pass
        assert len(peer.requests) == 1

    uvloop.run(test())


@pytest.mark.parametrize("text", ["a\r\nx: y", "a\nb", "a\rb"])
def test_a_line_end_adds_no_header(text: str) -> None:
    async def test() -> None:
        async with asking(silent) as (_, client):
            with pytest.raises(ValueError, match="line end"):
                async with client.ask("GET", "/", b"", {"id": text}, BOUND_S):
                    pass

    uvloop.run(test())
