"""Answers in Anthropic's messages: a block for each text and call, whole or as a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from gateway.call import Event, Usage
from gateway.protocols.answer import Answer, Piece, pieces
from gateway.protocols.anthropic_documents import Conversation, cited
from gateway.protocols.anthropic_tools import begun_block, call_block
from gateway.protocols.reading import Json
from gateway.tool_use import ToolCall

STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "context": "model_context_window_exceeded",
    "tool_calls": "tool_use",
}
"""The engine doesn't say which stop word ended an answer, so `stop_sequence` is always null."""


def response(request: Conversation, request_id: str, answer: Answer) -> Json:
    """A `Message` with a block for each text and call. The AI SDK does not accept `citations` that
    are null; an answer with citations has one text."""
    found = cited(request.messages, answer)
    noted = {"citations": found} if found else {}
    is_cut = answer.stop_reason in ("length", "context")
    return {
        **_message_start(request, request_id),
        "content": [
            call_block(part, is_cut)
            if isinstance(part, ToolCall)
            else {"type": "text", "text": part, **noted}
            for part in answer.parts or [""]
        ],
        "stop_reason": STOP_REASONS[answer.stop_reason],
        "usage": _usage(answer.usage),
    }


def count_response(_: str, answer: Answer) -> Json:
    return {"input_tokens": answer.usage.input_tokens}


def _message_start(request: Conversation, request_id: str) -> Json:
    return {
        "id": f"msg_{request_id}",
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(Usage()),
    }


def _usage(usage: Usage) -> Json:
    """The usage in Anthropic's form: its `input_tokens` are only those that were not cached."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
    }


async def stream(
    request: Conversation, request_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events; raises `GatewayError`."""
    answer = Answer()
    index = -1
    async with aclosing(pieces(answer, events)) as found:
        await anext(found)
        yield {"type": "message_start", "message": _message_start(request, request_id)}
        async for piece in found:
            if index < len(answer.parts) - 1:  # the piece begins a part
                if index >= 0:
                    yield _block_stop(index)
                index += 1
                yield _block_start(index, answer.parts[index])
            yield _block_delta(index, _delta(piece))
    if index < 0:
        index = 0
        yield _block_start(index, "")
    for last in _last_events(request, answer, index):
        yield last


def _block_start(index: int, part: str | ToolCall) -> Json:
    block = begun_block(part) if isinstance(part, ToolCall) else {"type": "text", "text": ""}
    return {"type": "content_block_start", "index": index, "content_block": block}


def _delta(piece: Piece) -> Json:
    if isinstance(piece, str):
        return {"type": "text_delta", "text": piece}
    return {"type": "input_json_delta", "partial_json": piece.arguments}


def _block_stop(index: int) -> Json:
    return {"type": "content_block_stop", "index": index}


def _last_events(request: Conversation, answer: Answer, index: int) -> Sequence[Json]:
    """`index` is that of the block that is open."""
    stop_reason = STOP_REASONS[answer.stop_reason]
    found = cited(request.messages, answer)
    return [
        *(_block_delta(index, {"type": "citations_delta", "citation": each}) for each in found),
        _block_stop(index),
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": _usage(answer.usage),
        },
        {"type": "message_stop"},
    ]


def _block_delta(index: int, delta: Json) -> Json:
    return {"type": "content_block_delta", "index": index, "delta": delta}
