"""Streams of OpenAI's `/v1/responses`: items open and close as the answer comes."""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import count

from gateway.call import Event
from gateway.errors import GatewayError
from gateway.faults import refusal_for
from gateway.protocols.answer import Answer, Piece, pieces
from gateway.protocols.openai_file_search import search_events
from gateway.protocols.openai_responses_answer import (
    begun_response,
    item,
    message_id,
    message_item,
    response,
    searches,
    text_part,
)
from gateway.protocols.openai_responses_request import ResponsesRequest
from gateway.protocols.openai_responses_tools import function_call, item_id
from gateway.protocols.reading import Json
from gateway.tool_use import ToolCall


async def stream(
    request: ResponsesRequest, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events, numbered. Before the first it raises `GatewayError`, later the error is
    an event."""
    numbers = count()
    async with aclosing(_unnumbered(request, request_id, events)) as plain:
        async for event in plain:
            yield {**event, "sequence_number": next(numbers)}


async def _unnumbered(
    request: ResponsesRequest, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    answer = Answer()
    place: _Place | None = None
    async with aclosing(pieces(answer, events)) as found:
        await anext(found)
        for first in _first_events(request, request_id, answer):
            yield first
        try:
            async for piece in found:
                if place is None or place.index < len(answer.parts) - 1:  # it begins a part
                    if place is not None:
                        for event in place.closed(answer, "completed"):
                            yield event
                    place = _Place(request, request_id, len(answer.parts) - 1)
                    for event in place.opened(answer):
                        yield event
                if delta := place.delta(piece, answer):
                    yield delta
        except Exception as error:
            yield _failed_event(request, request_id, refusal_for(error, request_id))
            return
    for last in _last_events(request, request_id, answer, place):
        yield last


@dataclass(frozen=True)
class _Place:
    """The item of one part of the answer."""

    request: ResponsesRequest
    request_id: str
    index: int

    @property
    def output_index(self) -> int:
        return self.index + bool(self.request.searches)

    def part(self, answer: Answer) -> str | ToolCall:
        return answer.parts[self.index] if answer.parts else ""

    def opened(self, answer: Answer) -> Iterator[Json]:
        part = self.part(answer)
        if isinstance(part, ToolCall):
            yield self._item_event(
                "added", function_call(replace(part, arguments=""), "in_progress")
            )
            return
        begun = message_item(self.request_id, self.index, "in_progress", [])
        yield self._item_event("added", begun)
        place = self._in_message(begun["id"])
        yield {"type": "response.content_part.added", **place, "part": text_part("", [])}

    def delta(self, piece: Piece, answer: Answer) -> Json | None:
        """The event of a piece; None for one without text, such as a call's first with its name."""
        if isinstance(piece, str):
            place = self._in_message(message_id(self.request_id, self.index))
            kind = "response.output_text.delta"
            return {"type": kind, **place, "logprobs": [], "delta": piece}
        part = self.part(answer)
        assert isinstance(part, ToolCall)
        place = {"item_id": item_id(part), "output_index": self.output_index}
        kind = "response.function_call_arguments.delta"
        return {"type": kind, **place, "delta": piece.arguments} if piece.arguments else None

    def closed(self, answer: Answer, status: str) -> Iterator[Json]:
        part = self.part(answer)
        done = item(self.request, self.request_id, answer, self.index, status)
        if isinstance(part, ToolCall):
            said = {"arguments": part.arguments, "name": part.name}
            place = {"item_id": done["id"], "output_index": self.output_index}
            yield {"type": "response.function_call_arguments.done", **place, **said}
        else:
            yield from self._closed_text(done, part)
        yield self._item_event("done", done)

    def _closed_text(self, done: Json, text: str) -> Iterator[Json]:
        place = self._in_message(done["id"])
        (content,) = done["content"]
        for index, annotation in enumerate(content["annotations"]):
            found = {"annotation_index": index, "annotation": annotation}
            yield {"type": "response.output_text.annotation.added", **place, **found}
        yield {"type": "response.output_text.done", **place, "text": text, "logprobs": []}
        yield {"type": "response.content_part.done", **place, "part": content}

    def _in_message(self, name: str) -> Json:
        return {"item_id": name, "output_index": self.output_index, "content_index": 0}

    def _item_event(self, kind: str, shown: Json) -> Json:
        name = f"response.output_item.{kind}"
        return {"type": name, "output_index": self.output_index, "item": shown}


def _first_events(request: ResponsesRequest, request_id: str, answer: Answer) -> Iterator[Json]:
    started = begun_response(request, request_id, "in_progress")
    yield {"type": "response.created", "response": started}
    yield {"type": "response.in_progress", "response": started}
    for done in searches(request, request_id, answer):
        yield from search_events(done)


def _last_events(
    request: ResponsesRequest, request_id: str, answer: Answer, place: _Place | None
) -> Iterator[Json]:
    """The last events; `place` is the open item. An answer without items has an empty message."""
    if place is None:
        place = _Place(request, request_id, 0)
        yield from place.opened(answer)
    done = response(request, request_id, answer)
    yield from place.closed(answer, done["status"])
    yield {"type": f"response.{done['status']}", "response": done}


def _failed_event(request: ResponsesRequest, request_id: str, error: GatewayError) -> Json:
    code = "rate_limit_exceeded" if error.status == 429 else "server_error"
    failed = begun_response(request, request_id, "failed")
    failed["error"] = {"code": code, "message": str(error)}
    return {"type": "response.failed", "response": failed}
