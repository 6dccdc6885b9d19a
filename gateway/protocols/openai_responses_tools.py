"""Functions of `/v1/responses`: definitions, and the calls and results in the input."""

from collections.abc import Sequence
from typing import Any

from gateway.errors import BadRequest
from gateway.protocols.openai_tools import call_id, tool_use
from gateway.protocols.reading import Body, Json, read
from gateway.protocols.tools import check_count, new_tool
from gateway.tool_use import Tool, ToolCall, ToolUse

SEARCH, FUNCTION = "file_search", "function"


class FunctionItem(Body):
    """A function as in chat, but not inside an object `function`."""

    type: str
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


def searches(tools: Sequence[Any]) -> list[Any]:
    """The tools that search; raises `BadRequest` for a tool that neither searches nor is a
    function."""
    kinds = [tool.get("type") if isinstance(tool, dict) else tool for tool in tools]
    for index, kind in enumerate(kinds):
        if kind not in (SEARCH, FUNCTION):
            field = f"tools.{index}.type"
            raise BadRequest.at(
                field, f"{str(kind)[:40]!r} given; {FUNCTION} and {SEARCH} are possible"
            )
    if len(set(kinds)) > 1:
        raise BadRequest.at("tools", f"{SEARCH} is possible alone, without functions")
    return list(tools) if SEARCH in kinds else []


def functions(tools: Sequence[Any], choice: Any, is_parallel: bool | None) -> ToolUse:
    """Raises `BadRequest`."""
    check_count(tools)
    offered = tuple(
        _function(f"tools.{i}", tool)
        for i, tool in enumerate(tools)
        if isinstance(tool, dict) and tool.get("type") == FUNCTION
    )
    hosted = isinstance(choice, dict) and choice.get("type") == SEARCH
    return tool_use(offered, None if hosted else choice, is_parallel)


def _function(field: str, tool: Json) -> Tool:
    item = read(FunctionItem, tool, f"{field}.")
    return new_tool(field, item.name, item.description, item.parameters)


def shown_tools(tools: Sequence[Any]) -> list[Any]:
    """The tools as the response names them: `strict` is false, because it has no effect."""
    return [
        tool | {"strict": False} if isinstance(tool, dict) and "strict" in tool else tool
        for tool in tools
    ]


def item_id(call: ToolCall) -> str:
    return f"fc_{call.id}"


def function_call(call: ToolCall, status: str) -> Json:
    """The output item of a call."""
    return {
        "id": item_id(call),
        "type": "function_call",
        "status": status,
        "call_id": call_id(call),
        "name": call.name,
        "arguments": call.arguments,
    }
