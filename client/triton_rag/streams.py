"""Streams: text as it arrives, the result once it is complete, and cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from triton_rag.calls import read_quotes, read_sources
from triton_rag.errors import Cancelled, ServerFailed
from triton_rag.results import Answer, Completion, Quote, Source
from triton_rag.status import checked_answer, from_stream, translated_errors
from triton_rag.trace_context import RequestContext
from triton_rag.wire import Message, Response

if TYPE_CHECKING:
    from typing import Self

ERROR = "error"
"""`finish_reason` of a response whose text is an error."""


class Transcript:
    """Collects the responses of one generation.

    `finish_reason` is empty until the last response; `num_output_tokens` counts what came.
    """

    def __init__(self) -> None:
        self.text = ""
        self.finish_reason = ""
        self.num_input_tokens = 0
        self.num_output_tokens = 0
        self.sources: tuple[Source, ...] = ()
        self.citations: tuple[int, ...] = ()
        self.quotes: tuple[Quote, ...] = ()
        self.grounded = 0.0

    def take(self, message: Message) -> str:
        """The new text in a `ModelStreamInferResponse`, often empty in the last one.

        Raises the `TritonRagError` that it carries instead.
        """
        if message.error_message:
            raise from_stream(message.error_message)
        response = Response(message.infer_response)
        delta = response.text("text_output")
        if response.text("finish_reason") == ERROR:
            raise from_stream(delta)
        self.text += delta
        self.finish_reason = response.text("finish_reason")
        if "num_input_tokens" in response:
            self.num_input_tokens = response.number("num_input_tokens")
        if "num_output_tokens" in response:
            self.num_output_tokens += response.number("num_output_tokens")
        if "sources" in response:
            self.sources = read_sources(response)
        if "citations" in response:
            self.citations = tuple(response.array("citations").tolist())
        if "quotes" in response:
            self.quotes = read_quotes(response)
            self.grounded = float(response.array("grounded").item())
        return delta

    def require_end(self) -> None:
        """Raises `ServerFailed` unless the last response came."""
        if not self.finish_reason:
            raise ServerFailed("the stream ended before its last response; see the server's log")

    def completion(self, context: RequestContext) -> Completion:
        if not self.finish_reason:
            raise RuntimeError("the text isn't complete yet: iterate the stream to its end first")
        return Completion(
            self.text,
            self.finish_reason,
            self.num_input_tokens,
            self.num_output_tokens,
            request_id=context.request_id,
            trace_id=context.trace_id,
        )

    def answer(self, context: RequestContext) -> Answer:
        whole = vars(self.completion(context))
        return Answer(
            **whole,
            sources=self.sources,
            citations=self.citations,
            quotes=self.quotes,
            grounded=self.grounded,
        )


class BaseStream:
    """The ids of a stream, and its cancellation."""

    def __init__(self, call: Any, address: str, context: RequestContext) -> None:
        self._call, self._address, self._context = call, address, context
        self._transcript = Transcript()
        self._is_closed = False

    @property
    def request_id(self) -> str:
        """The request's id in the server's logs and traces."""
        return self._context.request_id

    @property
    def trace_id(self) -> str:
        """The trace that the request belongs to, 32 hexadecimal digits."""
        return self._context.trace_id

    def _take(self, message: Message) -> str:
        with checked_answer(self._address):
            return self._transcript.take(message)

    def close(self) -> None:
        """End the generation on the server, unless it is over."""
        self._is_closed = True
        self._call.cancel()


class TextStream(BaseStream):
    """An iterator over pieces of text; iterate it once.

    Leaving the loop or the `with` block, or calling `close` from any thread, cancels the
    generation on the server. Raises `TritonRagError` while it is iterated.
    """

    def __init__(self, call: Any, address: str, context: RequestContext) -> None:
        super().__init__(call, address, context)
        self._pieces = self._read()

    def __iter__(self) -> Iterator[str]:
        with closing(self._pieces):
            yield from self._pieces

    def read(self) -> str:
        """Wait for the rest of the text."""
        return "".join(self)

    def _read(self) -> Generator[str, None, None]:
        try:
            with self._context.in_errors():
                with translated_errors(self._address):
                    for message in self._call:
                        if delta := self._take(message):
                            yield delta
                self._transcript.require_end()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTextStream(BaseStream):
    """An asynchronous iterator over pieces of text; iterate it once, with `async for`.

    Leaving the `async with` block, cancelling the task or calling `close` cancels the generation
    on the server; so does leaving the loop, as soon as the event loop gets to it. Raises
    `TritonRagError` while it is iterated.
    """

    def __init__(self, call: Any, address: str, context: RequestContext) -> None:
        super().__init__(call, address, context)
        self._pieces = self._read()

    async def __aiter__(self) -> AsyncIterator[str]:
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                yield piece

    async def read(self) -> str:
        """Wait for the rest of the text."""
        return "".join([piece async for piece in self])

    async def _read(self) -> AsyncGenerator[str, None]:
        try:
            with self._context.in_errors():
                async for delta in self._deltas():
                    yield delta
                self._transcript.require_end()
        finally:
            self.close()

    async def _deltas(self) -> AsyncIterator[str]:
        try:
            with translated_errors(self._address):
                async for message in self._call:
                    if delta := self._take(message):
                        yield delta
        except asyncio.CancelledError as error:
            if self._is_closed:  # by `close`, not because this task was cancelled
                raise Cancelled("the stream was closed") from error
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class _WithCompletion(BaseStream):
    @property
    def completion(self) -> Completion:
        """The whole text with its token counts; RuntimeError before the end of the stream."""
        return self._transcript.completion(self._context)


class _WithAnswer(BaseStream):
    @property
    def sources(self) -> tuple[Source, ...]:
        """The model's sources; empty before the first piece of text."""
        return self._transcript.sources

    @property
    def answer(self) -> Answer:
        """The whole answer with its citations; RuntimeError before the end of the stream."""
        return self._transcript.answer(self._context)


class CompletionStream(TextStream, _WithCompletion):
    """Generated text; `completion` once it is whole."""


class AnswerStream(TextStream, _WithAnswer):
    """An answer's text; `sources` with its first piece, `answer` once it is whole."""


class AsyncCompletionStream(AsyncTextStream, _WithCompletion):
    """Generated text; `completion` once it is whole."""


class AsyncAnswerStream(AsyncTextStream, _WithAnswer):
    """An answer's text; `sources` with its first piece, `answer` once it is whole."""
