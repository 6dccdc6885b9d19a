"""Functions in OpenAI's chat: which ones may be called, and calls in answers."""

from collections.abc import Sequence
from typing import Any

from gateway.call import CallPiece
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer
from gateway.protocols.reading import Json
from gateway.protocols.tools import Function, check_count, new_tool, new_tool_use, only
from gateway.tool_use import Tool, ToolCall, ToolUse

_CHOICES = "auto, none, required, a function or allowed_tools"


def tool_use(tools: tuple[Tool, ...], choice: Any, is_parallel: bool | None) -> ToolUse:
    """The tools that `tool_choice` allows; raises `BadRequest`."""
    match choice:
        case "none":
            return ToolUse()
        case None | "auto":
            return new_tool_use(tools, is_parallel)
        case {"type": "allowed_tools", **rest}:
            # Chat has these fields in an object, the Responses API has them beside the type.
            allowed = rest.get("allowed_tools", rest)
            return _allowed(tools, allowed, is_parallel)
        case "required" | "any":  # "any" is Mistral's name
            return new_tool_use(tools, is_parallel, is_required=True)
        case {"type": "function"}:
            named = only(tools, [_name(choice)], "tool_choice")
            return new_tool_use(named, is_parallel, is_required=True)
    raise BadRequest.at("tool_choice", f"{_CHOICES} is possible")


def function_use(functions: Sequence[Function], choice: Any) -> ToolUse:
    """The functions that `function_call` allows, for one call; raises `BadRequest`."""
    check_count(functions, "functions")
    offered = tuple(
        new_tool(f"functions.{i}", each.name, each.description, each.parameters)
        for i, each in enumerate(functions)
    )
    match choice:
        case None | "auto":
            return new_tool_use(offered, is_parallel=False)
        case {"name": str(name)}:
            named = only(offered, [name], "function_call")
            return new_tool_use(named, is_parallel=False, is_required=True)
    raise BadRequest.at("function_call", "auto, none or a function by name is possible")


def in_older_form(choice: Json, answer: Answer) -> Json:
    """A choice, whole or of a stream, with `function_call` in place of `tool_calls`."""
    for message in (choice.get("message"), choice.get("delta")):
        if message and (calls := message.pop("tool_calls", None)):
            message["function_call"] = calls[0]["function"]
    ends = answer.finished is not None and answer.stop_reason == "tool_calls"
    return choice | ({"finish_reason": "function_call"} if ends else {})


def _allowed(tools: tuple[Tool, ...], allowed: Any, is_parallel: bool | None) -> ToolUse:
    match allowed:
        case {"mode": str(mode), "tools": list(named)}:
            names = [_name(each) for each in named]
            return tool_use(only(tools, names, "tool_choice"), mode, is_parallel)
    raise BadRequest.at("tool_choice", f"{_CHOICES} is possible")


def _name(named: Any) -> str:
    match named:
        case {"function": {"name": str(name)}} | {"name": str(name)}:
            return name
    raise BadRequest.at("tool_choice", "functions by name are possible")


def call_id(call: ToolCall) -> str:
    return f"call_{call.id}"


def calls(answer: Answer) -> list[Json]:
    """The calls of a whole answer."""
    return [
        {
            "id": call_id(call),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in answer.calls
    ]


def call_delta(piece: CallPiece, answer: Answer) -> Json:
    """A piece of a call; the first one says which call it is."""
    if not piece.name:
        return {"index": piece.call, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    call = answer.calls[piece.call]
    return {"index": piece.call, "id": call_id(call), "type": "function", "function": function}
