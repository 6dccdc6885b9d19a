"""The JSON schema of an answer that must be a tool call."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ensembles.guides import GUIDE_TYPE
from python_backends.engines.llm_engine import GenerationParams, Guide
from python_backends.errors import RequestError
from python_backends.generation.guide import MAX_CHARACTERS
from python_backends.generation.schema import unenforced
from python_backends.tool_calls.definitions import Tool, ToolUse

_DEFINITIONS = ("$defs", "definitions")


def with_required_call(params: GenerationParams, use: ToolUse, unguided: str) -> GenerationParams:
    """The params, with the schema of a call as their guide if one is required.

    It replaces the request's own guide, which is for an answer's text: there is none then. Raises
    `RequestError` for a guide with optional tools, and for an engine that is `unguided`, and why.
    """
    if use.tools and params.guide and not use.is_required:
        raise RequestError(f"{GUIDE_TYPE}: given beside tools; tool_choice none is possible")
    if not use.is_required:
        return params
    if unguided:
        raise RequestError(f"tool_choice: no call can be required; {unguided}")
    return replace(params, guide=Guide("json_schema", call_schema(use.tools)), min_tokens=0)


def call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of one call of one of the functions; raises `RequestError`.

    Definitions in the functions' schemas move to its top level, under new names, because references
    are resolved from there.
    """
    definitions: dict[str, Any] = {}
    calls = [_call(number, tool["function"], definitions) for number, tool in enumerate(tools)]
    schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
    schema |= {"$defs": definitions} if definitions else {}
    if place := next(unenforced(schema), ""):
        raise RequestError(
            f"tools: {place[:100]} can't be enforced; leave it out where a call is required"
        )
    text = json.dumps(schema)
    if len(text) > MAX_CHARACTERS:
        raise RequestError(
            f"tools: {len(text)} characters of schemas; at most {MAX_CHARACTERS} are possible "
            "where a call is required"
        )
    return text


def _call(number: int, function: Tool, definitions: dict[str, Any]) -> dict[str, Any]:
    parameters = dict(function["parameters"])
    where = f"tools[{number}].function.parameters"
    for table in _DEFINITIONS:
        own = parameters.pop(table, {})
        for name, schema in own.items():
            definitions[_moved(number, name)] = _with_moved(schema, number, where)
    return {
        "type": "object",
        "properties": {
            "name": {"type": "string", "enum": [function["name"]]},
            "arguments": _with_moved(parameters, number, where),
        },
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(number: int, name: str) -> str:
    return f"tool{number}_{name}"


def _with_moved(value: Any, number: int, where: str) -> Any:
    """The schema, its references changed to where the definitions are now."""
    match value:
        case {"$ref": str(reference)}:
            root, _, name = reference.rpartition("/")
            if root not in {f"#/{table}" for table in _DEFINITIONS}:
                raise RequestError(
                    f"{where}: $ref to other than {' and '.join(_DEFINITIONS)} of the schema; "
                    "none is possible where a call is required"
                )
            return value | {"$ref": f"#/$defs/{_moved(number, name)}"}
        case dict():
            return {key: _with_moved(inner, number, where) for key, inner in value.items()}
        case list():
            return [_with_moved(inner, number, where) for inner in value]
    return value
