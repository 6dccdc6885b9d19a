"""A body has room for millions of values: no one client's may hold up all others."""

import asyncio
import resource
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

import gateway.app  # every request of every API
from gateway.bounds import BodyMemory, BoundedBody
from gateway.errors import Unavailable
from gateway.protocols.reading import Body
from gateway.server import allow_open_files
from gateway.settings import Bounds, Files
from gateway.upstream.encode import portions

assert gateway.app.PROTOCOLS


def subclasses(of: type[Body]) -> Iterator[type[Body]]:
    for each in of.__subclasses__():
        yield each
        yield from subclasses(each)


def lists_in(schema: Any) -> Iterator[dict[str, Any]]:
    """Those of a pydantic-core schema whose members are checked."""
    if isinstance(schema, dict):
        if schema.get("type") == "list" and schema["items_schema"]["type"] != "any":
            yield schema
        for part in schema.values():
            yield from lists_in(part)
    elif isinstance(schema, list | tuple):
        for part in schema:
            yield from lists_in(part)


def test_a_list_of_millions_is_refused_at_its_first_wrong_member() -> None:
    found = {
        body.__name__: [one.get("fail_fast") or one.get("max_length") for one in lists]
        for body in subclasses(Body)
        if (lists := list(lists_in(body.__pydantic_core_schema__)))
    }
    assert len(found) > 10
    assert {name: marks for name, marks in found.items() if not all(marks)} == {}


def test_a_long_row_of_token_ids_does_not_make_all_rows_long() -> None:
    assert list(portions([])) == []
    assert list(portions([1] * 1025)) == [slice(0, 1024), slice(1024, 1025)]
    assert list(portions([8192, *[1] * 100])) == [slice(0, 64), slice(64, 101)]
    assert list(portions([10**6, 1])) == [slice(0, 1), slice(1, 2)]


def test_the_bodies_of_one_tenant_leave_half_of_the_memory() -> None:
    memory = BodyMemory(100)
    with memory.body("flood") as first, memory.body("flood") as second:
        first(30)
        second(20)
        with pytest.raises(Unavailable, match="100 bytes together"):
            second(1)
        with memory.body("quiet") as other:
            other(50)
            with pytest.raises(Unavailable), memory.body("third") as third:
                third(1)
    with memory.body("flood") as again:
        again(50)


def test_uploads_of_a_tenant_that_come_in_at_a_time_fit_what_it_may_keep() -> None:
    form = [(b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/v1/files", "headers": form}
    come_in: list[bytes] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"x" * 60, "more_body": False}

    async def send(_message: Message) -> None: ...

    async def app(scope: Scope, counted: Receive, send: Send) -> None:
        """Reads an upload, and begins another one while it is kept."""
        come_in.append((await counted())["body"])
        await bounded(scope, receive, send)

    bounded = BoundedBody(app, Bounds(), Files(tenant_bytes=130))
    with pytest.raises(Unavailable):
        asyncio.run(bounded(scope, receive, send))
    assert len(come_in) == 2


def test_a_gateway_may_have_more_connections_than_who_asks_for_no_more() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        allow_open_files()
        found = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert found > 1024
