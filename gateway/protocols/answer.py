"""Collects an answer from its events, and finds the places of its citations."""

import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from secrets import token_hex

from gateway.call import CallPiece, Document, Event, Finished, Quote, Source, Sources, Text, Usage
from gateway.errors import UpstreamFailed
from gateway.tool_use import ToolCall


@dataclass(slots=True)
class Answer:
    """The part of an answer that has come so far; `finished` is None until the end.

    Ids of calls are made here; each API puts its own prefix before them.
    """

    parts: list[str | ToolCall] = field(default_factory=list)
    """Texts and calls in their order."""
    sources: tuple[Source, ...] = ()
    finished: Finished | None = None

    def add(self, event: Event) -> str:
        """Adds an event; returns its text. Raises `UpstreamFailed` for a cancelled answer."""
        match event:
            case Text(text=text):
                self._say(text)
                return text
            case CallPiece():
                self._extend(event)
            case Sources(sources=sources):
                self.sources = sources
            case Finished(reason="cancelled"):
                raise UpstreamFailed("the server stopped this generation")
            case Finished():
                self.finished = event
        return ""

    @property
    def calls(self) -> list[ToolCall]:
        return [part for part in self.parts if isinstance(part, ToolCall)]

    @property
    def text(self) -> str:
        return "".join(part for part in self.parts if isinstance(part, str))

    def _say(self, text: str) -> None:
        if self.parts and isinstance(last := self.parts[-1], str):
            self.parts[-1] = last + text
        else:
            self.parts.append(text)

    def _extend(self, piece: CallPiece) -> None:
        """Add a piece of a call. Its pieces follow each other; the first has the name."""
        if piece.name or not self.parts or isinstance(last := self.parts[-1], str):
            self.parts.append(ToolCall(token_hex(12), piece.name, piece.arguments))
        else:
            self.parts[-1] = replace(last, arguments=last.arguments + piece.arguments)

    @property
    def end(self) -> Finished:
        """The last event; raises `UpstreamFailed` if the answer ended without it."""
        if self.finished is None:
            raise UpstreamFailed("the answer ended without its last part")
        return self.finished

    @property
    def stop_reason(self) -> str:
        """Why the answer ended: stop, length or tool_calls, which every API has, or context if the
        request may fill it; raises `UpstreamFailed`."""
        named = ("length", "context", "tool_calls")
        return self.end.reason if self.end.reason in named else "stop"

    @property
    def usage(self) -> Usage:
        return self.end.usage


async def collect(events: AsyncGenerator[Event, None]) -> Answer:
    """The whole answer; raises `GatewayError`."""
    answer = Answer()
    async with aclosing(events):
        async for event in events:
            answer.add(event)
    _ = answer.end
    return answer


Piece = str | CallPiece


async def pieces(
    answer: Answer, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Piece, None]:
    """Texts and pieces of calls as they come, while `answer` grows; raises `GatewayError`.

    The first is an empty text: the upstream has taken the call, so that a stream may begin.
    """
    is_first = True
    async with aclosing(events):
        async for event in events:
            text = answer.add(event)
            if is_first:
                yield ""
                is_first = False
            if isinstance(event, CallPiece) or text:
                yield event if isinstance(event, CallPiece) else text
    _ = answer.end


async def texts(answer: Answer, events: AsyncGenerator[Event, None]) -> AsyncGenerator[str, None]:
    """`pieces` of a request without tools."""
    async with aclosing(pieces(answer, events)) as found:
        async for piece in found:
            if isinstance(piece, str):
                yield piece


@dataclass(frozen=True, slots=True)
class Span:
    """The characters from `start` up to `end`."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Citation:
    """A sentence of the answer, and the sentence of a document that supports it.

    `document` is its index in the request. A span is None if the sentence is not found there.
    """

    statement: str
    quote: str
    document: int
    statement_span: Span | None
    quote_span: Span | None


def citations(answer: Answer, documents: Sequence[Document]) -> list[Citation]:
    """The citations of a whole answer, in its order."""
    return [
        found
        for quote in answer.end.quotes
        if (found := _citation(quote, answer, documents)) is not None
    ]


def _citation(quote: Quote, answer: Answer, documents: Sequence[Document]) -> Citation | None:
    if not 1 <= quote.source <= len(answer.sources):
        return None
    index = answer.sources[quote.source - 1].document
    if not 0 <= index < len(documents):
        return None
    statement_span = _find(quote.statement, answer.text)
    quote_span = _find(quote.text, documents[index].text)
    return Citation(quote.statement, quote.text, index, statement_span, quote_span)


def statement_end(answer: Answer, quote: Quote) -> int:
    """Where the quote's sentence of the answer ends, in characters."""
    span = _find(quote.statement, answer.text)
    return span.end if span else len(answer.text)


_WORDS = re.compile(r"\w+|[^\w\s]")
_BETWEEN = r"(?:\s|\[\d+\])*"


def _find(text: str, within: str) -> Span | None:
    """Where the text is. Blanks may differ, because passages are cut and joined at them, and the
    model's own marks (`[1]`) may be between the words."""
    words = [re.escape(word) for word in _WORDS.findall(text)]
    found = re.search(_BETWEEN.join(words), within) if words else None
    return Span(found.start(), found.end()) if found else None
