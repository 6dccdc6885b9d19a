"""The inputs of a request about tools: which functions may be called, and how."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from python_backends.errors import RequestError
from python_backends.tensors import Tensors
from python_backends.tokenization import require_length

Tool = Mapping[str, Any]
"""A function as OpenAI's API and chat templates have it."""

MOST_TOOLS = 128
NAME = re.compile(r"[\w.-]{1,128}", re.ASCII)
"""A function's name: what Anthropic or OpenAI allows."""

_FORM = '[{"type": "function", "function": {"name": "…", "description": "…", "parameters": {…}}}]'
_FIELDS = {"name", "description", "parameters", "strict"}
_CHOICES = ("auto", "none", "required")


@dataclass(frozen=True)
class ToolUse:
    """What an answer may call, or must call if `is_required`; one call unless `is_parallel`."""

    tools: Sequence[Tool] = ()
    is_required: bool = False
    is_parallel: bool = True


def read_tool_use(tensors: Tensors, max_tokens: int) -> ToolUse:
    """The tools of a request, none without the input; raises `RequestError`."""
    choice = tensors.text("tool_choice", "auto")
    if choice not in _CHOICES:
        raise RequestError(
            f"tool_choice: '{choice[:40]}' given; possible are {', '.join(_CHOICES)}"
        )
    if "tools" not in tensors and choice == "required":
        raise RequestError("tool_choice: required, and no tools are given")
    if "tools" not in tensors or choice == "none":
        return ToolUse()
    if "messages" not in tensors or "sources" in tensors:
        raise RequestError("tools: possible beside messages, without sources")
    text = tensors.text("tools")
    require_length("tools", len(text), max_tokens)
    is_parallel = tensors.scalar("parallel_tool_calls") is not False
    return ToolUse(_parsed(text), choice == "required", is_parallel)


def _parsed(text: str) -> list[Tool]:
    try:
        tools = json.loads(text)
        json.dumps(tools, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise RequestError(f"tools: not JSON; {_FORM} is possible") from error
    if not isinstance(tools, list) or not 1 <= len(tools) <= MOST_TOOLS:
        raise RequestError(f"tools: not a list of 1 to {MOST_TOOLS}; {_FORM} is possible")
    return [_tool(f"tools[{index}]", tool) for index, tool in enumerate(tools)]


def _tool(where: str, tool: Any) -> Tool:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict) or tool.get("type") != "function":
        raise RequestError(f"{where}: not a function; {_FORM} is possible")
    if unknown := sorted(function.keys() - _FIELDS):
        raise RequestError(f"{where}.function.{unknown[0][:40]}: not offered")
    name = function.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RequestError(
            f"{where}.function.name: 1 to 128 letters, digits, '_', '-' and '.' are possible"
        )
    description, parameters = function.get("description"), function.get("parameters")
    if not isinstance(description or "", str) or not isinstance(parameters or {}, dict):
        raise RequestError(f"{where}.function: a text and an object are needed; {_FORM}")
    shown = {"name": name, "description": description or "", "parameters": parameters or _NOTHING}
    return {"type": "function", "function": shown}


_NOTHING = {"type": "object", "properties": {}}
"""Parameters of a function without parameters: chat templates read them."""
