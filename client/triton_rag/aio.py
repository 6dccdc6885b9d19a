"""The asyncio client: the methods of `Client`, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import grpc
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import service_pb2 as protocol

from triton_rag.arguments import AskOptions, SamplingOptions, SearchOptions
from triton_rag.calls import (
    Call,
    Chat,
    ask_request,
    embed_call,
    generate_request,
    read_statistics,
    rerank_call,
    retrieve_call,
)
from triton_rag.connection import POLL_S, BaseClient, Deadline
from triton_rag.results import Answer, Completion, ModelStatistics, Ranked, Source
from triton_rag.status import NOT_READY, translated
from triton_rag.streams import AsyncAnswerStream, AsyncCompletionStream
from triton_rag.trace_context import RequestContext
from triton_rag.wire import Message, Response

if TYPE_CHECKING:
    from typing import Self, Unpack

T = TypeVar("T")


class AsyncClient(BaseClient[AsyncCompletionStream, AsyncAnswerStream]):
    """`Client` for asyncio: the same arguments, results and errors.

    Streams are opened inside a running event loop, and one client belongs to one loop.
    """

    _completion_stream = AsyncCompletionStream
    _answer_stream = AsyncAnswerStream
    _grpc = grpc.aio

    async def embed(
        self,
        texts: str | Sequence[str],
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> NDArray[np.float32]:
        return await self._run(embed_call(texts, self._max_rows), timeout_s, request_id)

    async def rerank(
        self,
        query: str,
        passages: Sequence[str],
        top_n: int | None = None,
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
    ) -> list[Ranked]:
        call = rerank_call(query, passages, top_n, self._max_rows)
        return await self._run(call, timeout_s, request_id)

    async def retrieve(
        self,
        question: str,
        documents: Sequence[str],
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[SearchOptions],
    ) -> list[Source]:
        call = retrieve_call(question, documents, options)
        return await self._run(call, timeout_s, request_id)

    async def generate(
        self,
        prompt: str | None = None,
        *,
        messages: Chat | None = None,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[SamplingOptions],
    ) -> Completion:
        request = generate_request(prompt, messages, options, stream=False)
        stream = AsyncCompletionStream(*self._open(request, timeout_s, request_id))
        await stream.read()
        return stream.completion

    async def ask(
        self,
        question: str,
        documents: Sequence[str],
        *,
        timeout_s: float | None = None,
        request_id: str | None = None,
        **options: Unpack[AskOptions],
    ) -> Answer:
        request = ask_request(question, documents, options, stream=False)
        stream = AsyncAnswerStream(*self._open(request, timeout_s, request_id))
        await stream.read()
        return stream.answer

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

    async def statistics(self, *, timeout_s: float | None = None) -> dict[str, ModelStatistics]:
        left_s = self._deadline(timeout_s).left_s
        request = protocol.ModelStatisticsRequest()
        return read_statistics(await self._send(self._stub.ModelStatistics, request, left_s))

    async def close(self) -> None:
        await self._channel.close()

    async def _send(
        self,
        method: Any,
        request: Message,
        timeout_s: float | None,
        context: RequestContext | None = None,
    ) -> Message:
        with translated(self._address):
            return await method(request, timeout=timeout_s, metadata=self._metadata(context))

    async def _run(self, call: Call[T], timeout_s: float | None, request_id: str | None) -> T:
        deadline, context = self._deadline(timeout_s), self._context(request_id)
        with context.in_errors():
            answers = []
            for request in call.requests:
                marked, left_s = context.add_to(request), deadline.left_s
                answer = await self._send(self._stub.ModelInfer, marked, left_s, context)
                answers.append(Response(answer))
            return call.read(answers)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
