"""Text as it comes, and the way to stop it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from triton_rag.errors import Cancelled
from triton_rag.identity import Identity
from triton_rag.status import translated
from triton_rag.transcript import Transcript, WithAnswer, WithCompletion

if TYPE_CHECKING:
    from typing import Self


class TextStream:
    """Iterate it for pieces of text, once.

    Leaving the loop or the `with` block, or calling `close` from any thread, cancels the
    generation on the server. Raises `TritonRagError` while it is iterated.
    """

    def __init__(self, call: Any, address: str, identity: Identity) -> None:
        self._call, self._address, self._identity = call, address, identity
        self._transcript = Transcript()
        self._pieces = self._read()

    def __iter__(self) -> Iterator[str]:
        with closing(self._pieces):
            yield from self._pieces

    def close(self) -> None:
        """End the generation on the server; nothing happens once it is over."""
        self._call.cancel()

    def read(self) -> str:
        """Wait for the rest of the text."""
        return "".join(self)

    def _read(self) -> Generator[str, None, None]:
        try:
            with self._identity.named():
                with translated(self._address):
                    for message in self._call:
                        if delta := self._transcript.take(message):
                            yield delta
                self._transcript.end()
        finally:
            self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncTextStream:
    """Iterate it with `async for` for pieces of text, once.

    Leaving the `async with` block, cancelling the task or calling `close` cancels the generation
    on the server; so does leaving the loop, as soon as the event loop gets to it. Raises
    `TritonRagError` while it is iterated.
    """

    def __init__(self, call: Any, address: str, identity: Identity) -> None:
        self._call, self._address, self._identity = call, address, identity
        self._transcript = Transcript()
        self._is_closed = False
        self._pieces = self._read()

    async def __aiter__(self) -> AsyncIterator[str]:
        async with aclosing(self._pieces):
            async for piece in self._pieces:
                yield piece

    def close(self) -> None:
        """End the generation on the server; nothing happens once it is over."""
        self._is_closed = True
        self._call.cancel()

    async def read(self) -> str:
        """Wait for the rest of the text."""
        return "".join([piece async for piece in self])

    async def _read(self) -> AsyncGenerator[str, None]:
        try:
            with self._identity.named():
                async for delta in self._deltas():
                    yield delta
                self._transcript.end()
        finally:
            self.close()

    async def _deltas(self) -> AsyncIterator[str]:
        try:
            with translated(self._address):
                async for message in self._call:
                    if delta := self._transcript.take(message):
                        yield delta
        except asyncio.CancelledError as error:
            if self._is_closed:  # by `close`, not because this task was cancelled
                raise Cancelled("the stream was closed") from error
            raise

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()


class CompletionStream(TextStream, WithCompletion):
    """Generated text; `completion` once it is whole."""


class AnswerStream(TextStream, WithAnswer):
    """An answer's text; `sources` with its first piece, `answer` once it is whole."""


class AsyncCompletionStream(AsyncTextStream, WithCompletion):
    """Generated text; `completion` once it is whole."""


class AsyncAnswerStream(AsyncTextStream, WithAnswer):
    """An answer's text; `sources` with its first piece, `answer` once it is whole."""
