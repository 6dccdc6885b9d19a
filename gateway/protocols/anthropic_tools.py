"""Tools in Anthropic's messages: definitions, and the calls and results of a turn."""

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.call import Message
from gateway.errors import BadRequest
from gateway.protocols.anthropic_documents import BlockPart, Turn
from gateway.protocols.reading import Body, Json, joined, part_text, text_of
from gateway.protocols.tools import (
    begun_arguments,
    check_count,
    new_call,
    new_tool,
    new_tool_use,
    only,
    parsed_arguments,
    refuse_type,
)
from gateway.tool_use import NO_TOOLS, ToolCall, ToolUse

_UNREAD = ("document", "search_result", "thinking", "redacted_thinking")
"""Parts that are not read as text of a message: documents, and another model's earlier thinking."""


class ToolItem(Body):
    """A tool that the client runs itself; tools of other types are Anthropic's."""

    type: str | None = None
    name: str
    description: str | None = None
    input_schema: dict[str, Any] | None = None


def tool_use(items: Sequence[ToolItem] | None, choice: Any) -> ToolUse:
    """Raises `BadRequest`."""
    check_count(items or ())
    tools = []
    for index, item in enumerate(items or ()):
        field = f"tools.{index}"
        refuse_type(field, item.type or "custom", "custom")
        tools.append(
            new_tool(field, item.name, item.description, item.input_schema, "input_schema")
        )
    offered = tuple(tools)
    kind = choice.get("type") if isinstance(choice, dict) else choice
    match kind:
        case "none":
            return NO_TOOLS
        case None | "auto":
            return new_tool_use(offered, not (choice or {}).get("disable_parallel_tool_use"))
        case "any":
            return new_tool_use(offered, is_parallel=True, is_required=True)
        case "tool":
            named = only(offered, [str(choice.get("name"))], "tool_choice.name")
            return new_tool_use(named, is_parallel=True, is_required=True)
    raise BadRequest.at("tool_choice.type", "auto, none, any and tool are possible")


def messages_of(turn: Turn, field: str) -> list[tuple[Message, str]]:
    """A turn as messages, each with the field of its call's id: results first, then the text.

    Raises `BadRequest`.
    """
    if isinstance(turn.content, str):
        return [(Message(turn.role, turn.content), "")]
    texts, calls, found = [], [], list[tuple[Message, str]]()
    for index, part in enumerate(turn.content):
        place = f"{field}.content.{index}"
        if part.type == "tool_use":
            calls.append(_call(part, place))
        elif part.type == "tool_result":
            result = Message("tool", _result(part, place), tool_call_id=part.tool_use_id or "")
            found.append((result, f"{place}.tool_use_id"))
        elif part.type not in _UNREAD:
            texts.append(part_text(part, place, _TYPES))
    if texts or not found:
        found.append((Message(turn.role, joined(texts, turn.role), tuple(calls)), ""))
    return found


_TYPES = ("text", "document", "search_result", "tool_use", "tool_result")


def _call(part: BlockPart, field: str) -> ToolCall:
    if not part.id or not part.name:
        raise BadRequest.at(field, "id and name are needed")
    arguments = orjson.dumps(part.input or {}).decode()
    return new_call(f"{field}.input", part.id, part.name, arguments)


def _result(part: BlockPart, field: str) -> str:
    return text_of(part.content or "", f"{field}.content")


def call_block(call: ToolCall, is_cut: bool) -> Json:
    """A call as a block. If its arguments are no JSON it is a text, because a block has an object.

    In an answer that `is_cut` it has the arguments that are there: `stop_reason` tells clients not
    to run it, and to ask again with more tokens.
    """
    arguments = parsed_arguments(call.arguments)
    if arguments is None and is_cut:
        arguments = begun_arguments(call.arguments)
    if arguments is None:
        return {"type": "text", "text": f"{call.name} {call.arguments}"}
    return begun_block(call) | {"input": arguments}


def begun_block(call: ToolCall) -> Json:
    return {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}
