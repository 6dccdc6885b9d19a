"""Redaction of requests and answers: a handler around the others."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Collection
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import partial

from gateway.call import (
    Call,
    Caller,
    CallPiece,
    Event,
    Finished,
    Handler,
    Quote,
    Request,
    Source,
    Sources,
    Text,
)
from gateway.guards.redaction import Redactor, redact
from gateway.texts import changed, changed_json, refuse_token_ids

EVERYBODY = "*"
_PIECE_CHARACTERS = 16 * 1024

Count = Callable[[str, str, int], None]
"""Called with a count, its direction (input or output) and its pattern's name."""


@dataclass(frozen=True)
class RedactionPolicy:
    """Whose input and output is redacted: key ids, tenants, or `*`."""

    input: Collection[str] = ()
    output: Collection[str] = ()

    def of_input(self, caller: Caller) -> bool:
        return _is_named(caller, self.input)

    def of_output(self, caller: Caller) -> bool:
        return _is_named(caller, self.output)


def redacted(inner: Handler, policy: RedactionPolicy, count: Count) -> Handler:
    """Redacts the texts of a request before `inner` has them, and those of its answer after.

    Raises BadRequest for token ids of a caller whose input is redacted: their text can't be read.
    """

    async def handle(call: Call) -> AsyncGenerator[Event, None]:
        if policy.of_input(call.caller):
            call.request = await _without_personal_data(call.request, count)
        async with aclosing(inner(call)) as answer:
            events = _redacted_answer(answer, count) if policy.of_output(call.caller) else answer
            async for event in events:
                yield event

    return handle


async def _without_personal_data(request: Request, count: Count) -> Request:
    refuse_token_ids(request, "checked for personal data")
    found = Counter[str]()
    changed_request = await changed(request, partial(_redacted_text, found=found))
    _tell(count, "input", found)
    return changed_request


async def _redacted_text(text: str, found: Counter[str]) -> str:
    """Redacts a text in pieces, so that other requests can run between them."""
    redactor, shown = Redactor(found), list[str]()
    for start in range(0, len(text), _PIECE_CHARACTERS):
        shown.append(redactor.push(text[start : start + _PIECE_CHARACTERS]))
        if start:
            await asyncio.sleep(0)
    shown.append(redactor.flush())
    return "".join(shown)


async def _redacted_answer(
    answer: AsyncGenerator[Event, None], count: Count
) -> AsyncGenerator[Event, None]:
    """The answer's events, redacted. Tokens of text that is held back are counted with the next
    text. Calls come at the end: only whole arguments can be changed and stay JSON."""
    tokens, found = 0, Counter[str]()
    redactor = Redactor(found)
    calls: dict[int, CallPiece] = {}
    async for event in answer:
        match event:
            case Text():
                shown, tokens = redactor.push(event.text), tokens + event.tokens
                if shown:
                    yield Text(shown, tokens)
                    tokens = 0
            case CallPiece():
                calls[event.call] = _joined(calls.get(event.call), event)
            case Finished():
                if (shown := redactor.flush()) or tokens:
                    yield Text(shown, tokens)
                for call in calls.values():
                    yield await _redacted_call(call, found)
                quotes = tuple(_quote(quote, found) for quote in event.quotes)
                _tell(count, "output", found)
                yield replace(event, quotes=quotes)
            case Sources():
                yield Sources(tuple(_source(source, found) for source in event.sources))
            case _:
                yield event


def _joined(before: CallPiece | None, piece: CallPiece) -> CallPiece:
    if before is None:
        return piece
    arguments, tokens = before.arguments + piece.arguments, before.tokens + piece.tokens
    return replace(before, arguments=arguments, tokens=tokens)


async def _redacted_call(call: CallPiece, found: Counter[str]) -> CallPiece:
    change = partial(_redacted_text, found=found)
    return replace(call, arguments=await changed_json(call.arguments, change))


def _quote(quote: Quote, found: Counter[str]) -> Quote:
    statement, text = redact(quote.statement, found), redact(quote.text, found)
    return replace(quote, statement=statement, text=text)


def _source(source: Source, found: Counter[str]) -> Source:
    metadata = {
        name: redact(value, found) if isinstance(value, str) else value
        for name, value in source.metadata.items()
    }
    text, title = redact(source.text, found), redact(source.title, found)
    return replace(source, text=text, title=title, metadata=metadata)


def _tell(count: Count, direction: str, found: Counter[str]) -> None:
    for name, number in found.items():
        count(direction, name, number)


def _is_named(caller: Caller, names: Collection[str]) -> bool:
    return not {EVERYBODY, caller.key_id, caller.tenant}.isdisjoint(name for name in names if name)
