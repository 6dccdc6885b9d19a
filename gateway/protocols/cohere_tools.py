"""Turns of Cohere's `/v2/chat`, with tools: calls, and their results as texts or documents."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import orjson

from gateway.call import CallPiece, Message
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer
from gateway.protocols.reading import Body, Each, Json, Part, joined, part_text
from gateway.protocols.tools import FunctionCall, FunctionTool, new_tool_use, read_calls, read_tools
from gateway.tool_use import NO_TOOLS, ToolCall, ToolUse


class TurnPart(Part):
    """A part of a turn: a text, or in a tool's result a document."""

    document: dict[str, Any] | None = None


class Turn(Body):
    role: Literal["user", "assistant", "system", "tool"]
    content: str | Each[TurnPart] | None = None
    tool_plan: str | None = None
    tool_calls: Each[FunctionCall] | None = None
    tool_call_id: str | None = None


def message_of(turn: Turn, field: str) -> Message:
    """Raises `BadRequest`."""
    text = _text(turn, f"{field}.content")
    if turn.role == "tool":
        return Message("tool", text, tool_call_id=turn.tool_call_id or "")
    return Message(turn.role, text, read_calls(turn.tool_calls, f"{field}.tool_calls"))


def _text(turn: Turn, field: str) -> str:
    if turn.content is None and turn.role == "assistant":
        return turn.tool_plan or ""
    if turn.content is None:
        raise BadRequest.at(field, "missing; a text is needed")
    if isinstance(turn.content, str):
        return turn.content
    parts = [_part(part, f"{field}.{i}", turn.role) for i, part in enumerate(turn.content)]
    return joined(parts, turn.role)


def _part(part: TurnPart, field: str, role: str) -> str:
    """The text of a part. A document's data is a text, or an object that becomes JSON."""
    if role == "tool" and part.type == "document" and part.document:
        data = part.document.get("data", part.document)
        return data if isinstance(data, str) else orjson.dumps(data).decode()
    return part_text(part, field, ("text", "document") if role == "tool" else ("text",))


def tool_use(tools: list[FunctionTool] | None, choice: Any) -> ToolUse:
    """Raises `BadRequest`."""
    offered = read_tools(tools)
    match choice:
        case None | "":
            return new_tool_use(offered, is_parallel=True)
        case "NONE":
            return NO_TOOLS
        case "REQUIRED":
            return new_tool_use(offered, is_parallel=True, is_required=True)
    raise BadRequest.at("tool_choice", "REQUIRED and NONE are possible")


def call_item(call: ToolCall) -> Json:
    """A call in an answer."""
    function = {"name": call.name, "arguments": call.arguments}
    return {"id": f"{call.name}_{call.id}", "type": "function", "function": function}


def call_events(piece: CallPiece, answer: Answer) -> Iterator[Json]:
    """A piece of a call as events of a stream: the end of the previous call, a start, a delta."""
    calls = answer.calls
    index = len(calls) - 1
    if piece.name:
        if index:
            yield {"type": "tool-call-end", "index": index - 1}
        item = call_item(replace(calls[index], arguments=""))
        yield _event("tool-call-start", index, item)
    if piece.arguments:
        yield _event("tool-call-delta", index, {"function": {"arguments": piece.arguments}})


def call_end(answer: Answer) -> Json:
    """The end of the last call."""
    return {"type": "tool-call-end", "index": len(answer.calls) - 1}


def _event(kind: str, index: int, calls: Json) -> Json:
    return {"type": kind, "index": index, "delta": {"message": {"tool_calls": calls}}}
