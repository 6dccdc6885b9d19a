"""Functions that an answer may call, and calls of them."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the caller offers; `parameters` is its JSON schema, in JSON."""

    name: str
    description: str = ""
    parameters: str = '{"type":"object","properties":{}}'


@dataclass(frozen=True, slots=True)
class ToolUse:
    """The functions that an answer may call; if `is_required`, it must be one call.

    Without `is_parallel` it has at most one call.
    """

    tools: tuple[Tool, ...] = ()
    is_parallel: bool = True
    is_required: bool = False


NO_TOOLS = ToolUse()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call by the model; `arguments` are JSON as the model wrote it."""

    id: str
    name: str
    arguments: str
