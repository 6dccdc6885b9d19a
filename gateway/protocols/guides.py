"""Reads guides as OpenAI's, vLLM's, Anthropic's and Cohere's clients write them."""

from typing import Any

import orjson

from gateway.errors import BadRequest
from gateway.guide import Guide

_ANY_OBJECT = {"type": "object"}

_VLLM = ("json", "json_object", "regex", "choice", "grammar")
"""Fields of vLLM's `structured_outputs`; older fields are `guided_` and the same name."""

_NO_PART = ("backend", "disable_any_whitespace", "disable_fallback", "whitespace_pattern")
"""Fields of vLLM that have no effect if they are null."""


def schema_guide(schema: Any, field: str) -> Guide:
    """The guide of a JSON schema; raises `BadRequest` for anything else."""
    if not isinstance(schema, dict):
        raise BadRequest.at(field, "a JSON schema is needed, as an object")
    return Guide("json_schema", orjson.dumps(schema).decode(), field)


def openai_format(given: Any, field: str) -> Guide | None:
    """The guide of `response_format` or `text.format`: text, json_object or json_schema.

    Chat has the schema in an object `json_schema`, the Responses API beside the type.
    """
    kind = _type_of(given, field)
    match kind:
        case "text":
            return None
        case "json_object":  # Fireworks, Together and llama.cpp put a schema beside it
            schema = given.get("schema")
            return schema_guide(_ANY_OBJECT if schema is None else schema, field)
        case "json_schema":
            table, at = given, field
            if "json_schema" in given or field == "response_format":
                table, at = given.get("json_schema"), f"{field}.json_schema"
            if not isinstance(table, dict):
                raise BadRequest.at(at, "missing; a table with a schema is needed")
            schema = table.get("schema")
            return schema_guide(_ANY_OBJECT if schema is None else schema, f"{at}.schema")
    raise _unknown(kind, "text, json_object and json_schema", field)


def anthropic_format(given: Any, field: str) -> Guide | None:
    """The guide of `output_format` or `output_config.format`."""
    if given is None:
        return None
    if (kind := _type_of(given, field)) != "json_schema":
        raise _unknown(kind, "json_schema", field)
    return schema_guide(given.get("schema"), f"{field}.schema")


def cohere_format(given: Any, field: str) -> Guide | None:
    """The guide of `response_format`: text or json_object, maybe with a schema (v1: `schema`)."""
    kind = _type_of(given, field)
    if kind == "text":
        return None
    if kind != "json_object":
        raise _unknown(kind, "text and json_object", field)
    for name in ("json_schema", "schema"):
        if given.get(name) is not None:
            return schema_guide(given[name], f"{field}.{name}")
    return schema_guide(_ANY_OBJECT, field)


def vllm_guide(body: Any) -> Guide | None:
    """The guide of vLLM's `structured_outputs` or `guided_…`; raises `BadRequest` for two."""
    inside = body.structured_outputs or {}
    given = {f"structured_outputs.{n}": inside[n] for n in inside if n not in _NO_PART}
    given |= {f"guided_{name}": getattr(body, f"guided_{name}", None) for name in _VLLM}
    asked = {n: value for n, value in given.items() if value is not None and value is not False}
    if len(asked) > 1:
        first, second = list(asked)[:2]
        raise BadRequest(f"{first}, {second}: only one of them is possible", field=second)
    for field, value in asked.items():
        return _of_vllm(field.removeprefix("guided_").rpartition(".")[2], value, field)
    return None


def one_guide(*guides: Guide | None) -> Guide | None:
    """The guide that is given, if any; raises `BadRequest` for two."""
    given = [guide for guide in guides if guide]
    if len(given) > 1:
        fields = f"{given[0].field}, {given[1].field}"
        raise BadRequest(f"{fields}: only one of them is possible", field=given[1].field)
    return given[0] if given else None


def _of_vllm(name: str, value: Any, field: str) -> Guide:
    match name, value:
        case "json", str():
            return Guide("json_schema", value, field)
        case "json", _:
            return schema_guide(value, field)
        case "json_object", True:
            return schema_guide(_ANY_OBJECT, field)
        case "regex", str():
            return Guide("regex", value, field)
        case "grammar", str():
            return Guide("ebnf_grammar", value, field)
        case "choice", [*texts] if texts and all(isinstance(text, str) for text in texts):
            words = " | ".join(orjson.dumps(text).decode() for text in texts)
            return Guide("ebnf_grammar", f"root ::= {words}", field)
    possible = "a schema, regex or grammar as text, a list of texts as choice"
    raise BadRequest.at(field, f"{possible} are possible")


def _type_of(given: Any, field: str) -> Any:
    """The type of a format; `text` if none is given."""
    if not given:
        return "text"
    if not isinstance(given, dict):
        raise BadRequest.at(field, "an object with a type is needed")
    return given.get("type", "text")


def _unknown(kind: Any, possible: str, field: str) -> BadRequest:
    field = f"{field}.type"
    return BadRequest.at(field, f"{str(kind)[:40]!r} given; {possible} are possible")
