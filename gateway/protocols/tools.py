"""Functions that a request offers, their calls and results: code that all APIs share."""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from pydantic import Field
from pydantic_core import from_json

from gateway.call import Message
from gateway.errors import BadRequest
from gateway.protocols.reading import Body
from gateway.tool_use import NO_TOOLS, Tool, ToolCall, ToolUse

MOST_TOOLS = 128
MOST_SCHEMA_BYTES = 64 * 2**10
MOST_DEPTH = 32
"""Most nested objects and lists of a schema and of arguments."""
NAME = re.compile(r"[a-zA-Z0-9_.-]{1,128}")


class Function(Body):
    """A function in the form of OpenAI and Cohere.

    `strict` asks that arguments fit the schema, which is only guaranteed for a required call.
    """

    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class FunctionTool(Body):
    type: str
    function: Function | None = None


class CalledFunction(Body):
    name: str
    arguments: str | None = None


class FunctionCall(Body):
    """A call of an earlier answer, in the form of OpenAI and Cohere."""

    id: str
    type: str = "function"
    function: CalledFunction = Field()


def read_tools(tools: Sequence[FunctionTool] | None) -> tuple[Tool, ...]:
    """The functions of OpenAI's chat and of Cohere; raises `BadRequest`."""
    check_count(tools or ())
    return tuple(_read_tool(f"tools.{i}", tool) for i, tool in enumerate(tools or ()))


def _read_tool(field: str, tool: FunctionTool) -> Tool:
    refuse_type(field, tool.type)
    if tool.function is None:
        raise BadRequest.at(f"{field}.function", "missing")
    function = tool.function
    return new_tool(f"{field}.function", function.name, function.description, function.parameters)


def check_count(tools: Sequence[Any], field: str = "tools") -> None:
    if len(tools) > MOST_TOOLS:
        raise BadRequest.at(field, f"{len(tools)} given; at most {MOST_TOOLS} are possible")


def refuse_type(field: str, kind: str, possible: str = "function") -> None:
    """Raises `BadRequest` for a tool of a type that the caller does not run itself."""
    if kind != possible:
        raise BadRequest.at(f"{field}.type", f"{kind[:40]!r} given; {possible} is possible")


def new_tool(
    field: str,
    name: str,
    description: str | None,
    schema: dict[str, Any] | None,
    schema_name: str = "parameters",
) -> Tool:
    """A tool; raises `BadRequest` for a name or a schema that is not possible."""
    if not NAME.fullmatch(name):
        raise BadRequest.at(
            f"{field}.name", "1 to 128 letters, digits, '_', '-' and '.' are possible"
        )
    if not schema:
        return Tool(name, description or "")
    place = f"{field}.{schema_name}"
    if depth(schema) > MOST_DEPTH:
        raise BadRequest.at(place, f"nested deeper than {MOST_DEPTH} levels")
    parameters = orjson.dumps(schema)
    if len(parameters) > MOST_SCHEMA_BYTES:
        raise BadRequest.at(
            place, f"{len(parameters)} bytes; at most {MOST_SCHEMA_BYTES} are possible"
        )
    return Tool(name, description or "", parameters.decode())


def depth(value: Any) -> int:
    """How many objects and lists are nested in a value."""
    level, deepest = [value], 0
    while level := [inner for each in level for inner in _inner(each)]:
        deepest += 1
    return deepest


def _inner(value: Any) -> Iterator[Any]:
    match value:
        case dict():
            yield from value.values() or (None,)
        case list():
            yield from value or (None,)


def only(tools: tuple[Tool, ...], names: Sequence[str], field: str) -> tuple[Tool, ...]:
    """The tools with these names; raises `BadRequest` for one that is not among them."""
    known = {tool.name: tool for tool in tools}
    for name in names:
        if name not in known:
            raise BadRequest.at(field, f"{name[:64]!r} is none of the tools")
    return tuple(known[name] for name in names)


def new_tool_use(
    tools: tuple[Tool, ...], is_parallel: bool | None, is_required: bool = False
) -> ToolUse:
    """The use of tools; raises `BadRequest` if a call is required but there are no tools."""
    if is_required and not tools:
        raise BadRequest.at("tool_choice", "a call is required, and there are no tools")
    return ToolUse(tools, is_parallel is not False, is_required) if tools else NO_TOOLS


def parsed_arguments(written: str) -> dict[str, Any] | None:
    """The arguments of a call; None if they are no JSON object, which a model may write."""
    try:
        found = json.loads(written, strict=False)
        written.encode()
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def begun_arguments(written: str) -> dict[str, Any]:
    """The complete members of arguments that were cut, as clients of a stream read them."""
    try:
        found = from_json(written, allow_partial=True)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def new_call(field: str, call_id: str, name: str, arguments: str | None) -> ToolCall:
    """A call of an earlier answer; raises `BadRequest` for arguments that are no JSON object."""
    written = arguments or "{}"
    found = parsed_arguments(written)
    if found is None or depth(found) > MOST_DEPTH:
        raise BadRequest.at(field, f"a JSON object of at most {MOST_DEPTH} levels is needed")
    return ToolCall(call_id, name, written)


def read_calls(calls: Sequence[FunctionCall] | None, field: str) -> tuple[ToolCall, ...]:
    """The calls of a message in OpenAI's or Cohere's chat; raises `BadRequest`."""
    found = []
    for index, call in enumerate(calls or ()):
        place = f"{field}.{index}"
        refuse_type(place, call.type)
        function = call.function
        found.append(
            new_call(f"{place}.function.arguments", call.id, function.name, function.arguments)
        )
    return tuple(found)


def check_results(messages: Sequence[Message], fields: Sequence[str]) -> None:
    """Raises `BadRequest` for a result whose call is in no earlier message.

    `fields` are the client's names for the `tool_call_id` of each message.
    """
    called: set[str] = set()
    for message, field in zip(messages, fields, strict=True):
        called.update(call.id for call in message.tool_calls)
        if message.role == "tool" and message.tool_call_id not in called:
            raise BadRequest.at(field, "no call before it has this id")
