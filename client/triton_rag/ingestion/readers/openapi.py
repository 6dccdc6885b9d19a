"""Descriptions of an API by OpenAPI (or Swagger): its calls and its schemas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from triton_rag.ingestion.file_text import Blocks, FileText

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_MOST_NAMED = 40
"""Most values of an enumeration that are named."""

Node = Mapping[str, Any]


def is_api(given: object) -> bool:
    """Whether parsed JSON or YAML is such a description."""
    api = _node(given)
    return bool({"openapi", "swagger"} & set(api)) and isinstance(api.get("paths"), dict)


def described(given: object) -> FileText:
    """The text of a description."""
    api = _node(given)
    blocks, info = Blocks(), _node(api.get("info"))
    title = _words(info.get("title"))
    blocks.heading(1, title)
    blocks.paragraph(f"Version: {info['version']}" if "version" in info else "")
    blocks.paragraph(str(info.get("description") or ""))
    for path, node in _node(api.get("paths")).items():
        for method in _METHODS:
            if method in _node(node):
                _add_call(f"{method.upper()} {path}", _node(node), _node(node[method]), blocks)
    schemas = _node(_node(api.get("components")).get("schemas")) or _node(api.get("definitions"))
    for name, schema in schemas.items():
        blocks.heading(2, name)
        blocks.paragraph(str(_node(schema).get("description") or ""))
        blocks.paragraph("\n".join(_fields(_node(schema))))
    return blocks.file_text(title)


def _add_call(name: str, of_path: Node, call: Node, blocks: Blocks) -> None:
    blocks.heading(2, name)
    blocks.paragraph(_words(call.get("summary")))
    blocks.paragraph(str(call.get("description") or ""))
    given = [*_nodes(of_path.get("parameters")), *_nodes(call.get("parameters"))]
    lines = [
        _line(each.get("name", _name(each)), _node(each.get("schema")) or each, each)
        for each in given
    ]
    blocks.paragraph("\n".join(["Parameters:", *lines]) if lines else "")
    for kind, body in _node(_node(call.get("requestBody")).get("content")).items():
        schema = _node(_node(body).get("schema"))
        blocks.paragraph("\n".join([f"Body ({kind}): {_type(schema)}", *_fields(schema)]))
    answers = _node(call.get("responses")).items()
    said = [f"- {status}: {_words(_node(node).get('description'))}" for status, node in answers]
    blocks.paragraph("\n".join(["Responses:", *said]) if said else "")


def _fields(schema: Node) -> Iterator[str]:
    required = schema.get("required")
    for name, field in _node(schema.get("properties")).items():
        is_required = isinstance(required, list) and name in required
        yield _line(name, _node(field), {**_node(field), "required": is_required})
    for part in _nodes(schema.get("allOf")):
        yield from _fields(part)


def _line(name: str, schema: Node, about: Node) -> str:
    """A parameter or a field: its type, whether it is required, its values and what it is."""
    facts = [f"in {about['in']}"] if "in" in about else []
    facts += [_type(schema), "required" if about.get("required") is True else ""]
    if "default" in schema:
        facts.append(f"default {json.dumps(schema['default'])}")
    if isinstance(values := schema.get("enum"), list):
        facts.append(f"one of {', '.join(map(str, values[:_MOST_NAMED]))}")
    told = _words(about.get("description") or schema.get("description"))
    return f"- {name} ({', '.join(filter(None, facts))})" + (f": {told}" if told else "")


def _type(schema: Node) -> str:
    """The type as a person writes it: `string`, `Pet`, `list of Pet`, `string or null`."""
    if "$ref" in schema:
        return _name(schema)
    if schema.get("type") == "array":
        return f"list of {_type(_node(schema.get('items'))) or 'anything'}"
    for choice in ("anyOf", "oneOf"):
        if parts := [_type(part) for part in _nodes(schema.get(choice))]:
            return " or ".join(dict.fromkeys(filter(None, parts)))
    kind = schema.get("type", "")
    return " or ".join(map(str, kind)) if isinstance(kind, list) else str(kind)


def _name(node: Node) -> str:
    return str(node.get("$ref", "")).rpartition("/")[2]


def _node(found: Any) -> Node:
    return found if isinstance(found, dict) else {}


def _nodes(found: Any) -> list[Node]:
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def _words(found: Any) -> str:
    return " ".join(str(found or "").split())
