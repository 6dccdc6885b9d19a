"""The asyncio client: the methods of `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar, cast

import grpc
from tritonclient.grpc import service_pb2 as protocol

from triton_rag.calls import Call
from triton_rag.client import Client
from triton_rag.connection import POLL_S, BaseClient, Deadline
from triton_rag.results import Answer, Completion
from triton_rag.status import NOT_READY, checked_answer, translated_errors
from triton_rag.streams import AsyncAnswerStream, AsyncCompletionStream
from triton_rag.trace_context import RequestContext
from triton_rag.wire import Message, Response

if TYPE_CHECKING:
    from typing import Self

P = ParamSpec("P")
T = TypeVar("T")


def _awaited(
    method: Callable[Concatenate[Client, P], T],
) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A method of `Client`, unchanged: it makes a request and returns the result of `_run`,
    `_complete` or `_answer`, which are coroutines in this class.
    """
    return cast("Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]", method)


class AsyncClient(BaseClient[AsyncCompletionStream, AsyncAnswerStream]):
    """`Client` for asyncio: the same methods, awaited, with the same arguments and errors.

    Streams are opened inside a running event loop, and one client belongs to one loop.
    """

    _completion_stream = AsyncCompletionStream
    _answer_stream = AsyncAnswerStream
    _grpc = grpc.aio

    embed = _awaited(Client.embed)
    count_tokens = _awaited(Client.count_tokens)
    rerank = _awaited(Client.rerank)
    retrieve = _awaited(Client.retrieve)
    generate = _awaited(Client.generate)
    search = _awaited(Client.search)
    ask = _awaited(Client.ask)
    collections = _awaited(Client.collections)
    collection = _awaited(Client.collection)
    create_collection = _awaited(Client.create_collection)
    delete_collection = _awaited(Client.delete_collection)
    documents = _awaited(Client.documents)
    upsert = _awaited(Client.upsert)
    remove = _awaited(Client.remove)

    async def is_ready(self, *, timeout_s: float = 5.0) -> bool:
        try:
            request = protocol.ServerReadyRequest()
            return bool((await self._send(self._stub.ServerReady, request, timeout_s)).ready)
        except NOT_READY:
            return False

    async def wait_until_ready(self, timeout_s: float = 60.0) -> None:
        deadline = Deadline(timeout_s)
        while not await self.is_ready(timeout_s=max(POLL_S, deadline.left_s or 0.0)):
            if deadline.has_passed:
                raise self._not_ready(timeout_s)
            await asyncio.sleep(POLL_S)

    async def setting(self, model: str, name: str, *, timeout_s: float | None = None) -> str:
        left_s = self._deadline(timeout_s).left_s
        request = protocol.ModelConfigRequest(name=model)
        answer = await self._send(self._stub.ModelConfig, request, left_s)
        return str(answer.config.parameters[name].string_value)

    async def close(self) -> None:
        await self._channel.close()

    async def _send(
        self,
        method: Any,
        request: Message,
        timeout_s: float | None,
        context: RequestContext | None = None,
    ) -> Message:
        with translated_errors(self._address):
            return await method(request, timeout=timeout_s, metadata=self._metadata(context))

    async def _run(self, call: Call[T], timeout_s: float | None, request_id: str | None) -> T:
        deadline, context = self._deadline(timeout_s), self._context(request_id)
        with context.in_errors():
            answers = []
            for request in call.requests:
                marked, left_s = context.add_to(request), deadline.left_s
                answer = await self._send(self._stub.ModelInfer, marked, left_s, context)
                answers.append(answer)
            with checked_answer(self._address):
                return call.read([Response(answer) for answer in answers])

    async def _complete(
        self, request: Message, timeout_s: float | None, request_id: str | None
    ) -> Completion:
        stream = AsyncCompletionStream(*self._open(request, timeout_s, request_id))
        await stream.read()
        return stream.completion

    async def _answer(
        self, request: Message, timeout_s: float | None, request_id: str | None
    ) -> Answer:
        stream = AsyncAnswerStream(*self._open(request, timeout_s, request_id))
        await stream.read()
        return stream.answer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
