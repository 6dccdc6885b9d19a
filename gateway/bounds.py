"""Checks every request before it is routed: size, encoding, JSON.

Triton 2.51 crashes (SIGSEGV) on JSON that is nested 50,000 deep, and on a body in a million chunks.
Here a body is read whole and parsed once. orjson refuses more than 1,024 levels, text that is not
UTF-8, lone surrogates, NaN and Infinity.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import orjson
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.call import ANYBODY, Caller
from gateway.errors import BadRequest, DeadlinePassed, Forbidden, TooLarge, Unavailable
from gateway.settings import Bounds, Files

JSON = "gateway.json"
"""Key of the scope with the parsed body."""

UNTYPED = ("", "application/octet-stream")
"""Content types of Triton's own clients. A web page of another site can send such a body, or a
form, without a preflight. So other routes take a body without a type only if no page sent it."""

UPLOADS = "/v1/files"
"""The one path that takes a form instead of JSON."""

HEADER_LENGTH = "inference-header-content-length"
"""Header with the number of bytes of JSON before those of tensors, in Triton's own protocol."""
_LENGTH = re.compile("[0-9]{1,9}")

CONTAINERS = 2**17
"""Most lists and objects of a body, counted by brackets. Millions of them would take seconds to
parse, in which no other client is served."""

FORM_BYTES = 64 * 2**10
"""Most bytes of a form besides its file."""

Take = Callable[[int], None]
"""Takes memory for bytes of one request's body; raises `Unavailable` where too little is left."""


class BodyMemory:
    """`size` bytes of memory (for uploads: of disk) for the bodies of all requests.

    A body keeps its bytes until its answer ends. One tenant may have at most half of all, so that
    the requests of others can be read.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._taken: Counter[str] = Counter()

    @contextmanager
    def body(self, tenant: str) -> Iterator[Take]:
        """Takes room for one body, and gives it back at the end of the block."""
        taken_bytes = 0

        def take(size: int) -> None:
            nonlocal taken_bytes
            self._take(tenant, size)
            taken_bytes += size

        try:
            yield take
        finally:
            self._taken[tenant] -= taken_bytes
            if not self._taken[tenant]:
                del self._taken[tenant]

    def _take(self, tenant: str, size: int) -> None:
        if self._taken[tenant] + size > self._size // 2 or self._taken.total() + size > self._size:
            raise Unavailable(
                f"overloaded: the bodies of requests have {self._size} bytes together, half of"
                " them for one tenant; try again in 1 s",
                retry_after_s=1.0,
            )
        self._taken[tenant] += size


class BoundedBody:
    """Middleware: reads the body whole and parses it; raises `GatewayError`."""

    def __init__(
        self, app: ASGIApp, bounds: Bounds, files: Files, origins: Sequence[str] = ()
    ) -> None:
        self._app, self._bounds, self._files, self._origins = app, bounds, files, origins
        self._memory = BodyMemory(bounds.bodies_bytes)
        self._disk = BodyMemory(2 * files.tenant_bytes)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        if scope["path"] == UPLOADS and _content_type(headers) == "multipart/form-data":
            _refuse_pages(headers, self._origins)
            await self._upload(scope, receive, send)
            return
        self._check_headers(headers)
        with self._memory.body(_tenant(scope)) as take:
            body = await self._read(receive, take)
            if body is None:
                return
            if body:
                scope[JSON] = _parsed(body, headers, scope["path"])
            await self._app(scope, _replayed(body, receive), send)

    def _check_headers(self, headers: Headers) -> None:
        if (encoding := headers.get("content-encoding", "identity")) != "identity":
            raise BadRequest.at(
                "content-encoding", f"{encoding!r:.40} given; bodies are taken as they are"
            )
        framing = headers.get("transfer-encoding", "chunked")
        if framing.lower() != "chunked":
            raise BadRequest.at(
                "transfer-encoding", f"{framing!r:.40} given; chunked is taken, or a content-length"
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._bounds.body_bytes:
            raise self._too_large(f"{length} bytes")

    async def _read(self, receive: Receive, take: Take) -> bytes | None:
        """The whole body; None if the client leaves before its end."""
        parts, size = [], 0
        try:
            async with asyncio.timeout(self._bounds.body_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    part = message.get("body", b"")
                    parts.append(part)
                    size += len(part)
                    take(len(part))
                    if size > self._bounds.body_bytes:
                        raise self._too_large("more")
                    if not message.get("more_body", False):
                        return b"".join(parts)
        except TimeoutError:
            raise DeadlinePassed(f"body: not complete after {self._bounds.body_s:g} s") from None

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with self._disk.body(_tenant(scope)) as take:
                async with asyncio.timeout(self._files.upload_s):
                    await self._app(scope, self._counted(receive, take), send)
        except TimeoutError:
            raise DeadlinePassed(
                f"file: not complete after {self._files.upload_s:g} s", field="file"
            ) from None

    def _counted(self, receive: Receive, take: Take) -> Receive:
        """`receive` for a body that goes to disk; raises `TooLarge` for more than a file may have,
        and `Unavailable` where all uploads together are too much for the disk."""
        size, most = 0, self._files.file_bytes

        async def counted() -> Message:
            nonlocal size
            message = await receive()
            part = len(message.get("body", b""))
            size += part
            take(part)
            if size > most + FORM_BYTES:
                raise TooLarge.at("file", f"more given; at most {most} bytes are taken")
            return message

        return counted

    def _too_large(self, given: str) -> TooLarge:
        return TooLarge(f"body: {given} given; at most {self._bounds.body_bytes} bytes are taken")


def _tenant(scope: Scope) -> str:
    caller: Caller = scope.get("state", {}).get("caller", ANYBODY)
    return caller.tenant


def _refuse_pages(headers: Headers, origins: Sequence[str]) -> None:
    """Raises `Forbidden` for a form from a web page, whose browser names its site as the origin."""
    origin = headers.get("origin")
    if origin is not None and not {origin, "*"} & set(origins):
        raise Forbidden.at("origin", "given; files are taken of web pages in listen.origins only")


def _content_type(headers: Headers) -> str:
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _parsed(body: bytes, headers: Headers, path: str) -> object:
    kind = _content_type(headers)
    is_of_no_page = not kind and "origin" not in headers  # LiteLLM sends none to Voyage's API
    is_untyped = is_of_no_page or (kind in UNTYPED and path.startswith("/v2/"))
    if kind != "application/json" and not kind.endswith("+json") and not is_untyped:
        raise BadRequest.at("content-type", f"{kind!r:.60} given; application/json is taken")
    text = body
    if length := headers.get(HEADER_LENGTH, ""):
        if not _LENGTH.fullmatch(length) or int(length) > len(body):
            raise BadRequest(
                f"{HEADER_LENGTH}: {length!r:.40} given; bytes of the JSON are needed, of"
                f" {len(body)} in the body"
            )
        text = body[: int(length)]
    if (given := text.count(b"[") + text.count(b"{")) > CONTAINERS:
        raise TooLarge(f"body: {given} brackets are opened; at most {CONTAINERS} are possible")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"body: no valid JSON: {error.msg} (byte {error.pos})") from None


def _replayed(body: bytes, receive: Receive) -> Callable[[], "asyncio.Future[Message]"]:
    """A `receive` that first gives the body, which was read already."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Message:
        return waiting.pop() if waiting else await receive()

    return replay  # type: ignore[return-value]
