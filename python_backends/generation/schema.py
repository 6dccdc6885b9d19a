"""Finds the keywords of a JSON schema that guided generation can't enforce.

xgrammar (0.1.31, in OpenVINO GenAI 2026.4) passes over them without an error, so they are refused
by name here: a client must not believe that it got what it asked for.
"""

from collections.abc import Iterator
from typing import Any

_UNENFORCED = (
    *("not", "if", "then", "else", "uniqueItems", "contains", "minContains", "maxContains"),
    *("multipleOf", "dependentRequired", "dependentSchemas", "dependencies"),
    *("$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties"),
)
_NAMED = ("properties", "patternProperties", "$defs", "definitions")
"""Keywords whose members are named by the client."""
_DATA = ("const", "enum", "default", "examples")
_BESIDE_PATTERN = ("minLength", "maxLength", "format")


def unenforced(schema: Any, place: str = "#") -> Iterator[str]:
    """Places of keywords that are not enforced, such as `#/properties/a/uniqueItems`."""
    if isinstance(schema, list):
        for number, inner in enumerate(schema):
            yield from unenforced(inner, f"{place}/{number}")
    if not isinstance(schema, dict):
        return
    yield from (f"{place}/{name}" for name in _own(schema))
    for name, inner in schema.items():
        if name in _NAMED and isinstance(inner, dict):
            for own, each in inner.items():
                yield from unenforced(each, f"{place}/{name}/{own}")
        elif name not in _DATA:
            yield from unenforced(inner, f"{place}/{name}")


def refers_only_to_itself(schema: dict[str, Any]) -> bool:
    """Whether its references and alternatives lead to nothing else: no text can match such a
    schema, but the library would let the model write anything."""
    waiting: list[Any] = [schema]
    seen = set[str]()
    while waiting:
        match waiting.pop():
            case {"$ref": str(reference)}:
                if reference not in seen:
                    seen.add(reference)
                    waiting.append(_referred(schema, reference))
            case {"anyOf": [*ways]} | {"oneOf": [*ways]} | {"allOf": [*ways]} if ways:
                waiting += ways
            case _:
                return False
    return True


def _referred(schema: Any, reference: str) -> Any:
    """What the reference names; None where that does not exist, which the library refuses."""
    for name in reference.split("/")[1:]:
        schema = schema.get(name) if isinstance(schema, dict) else None
    return schema


def _own(schema: dict[str, Any]) -> Iterator[str]:
    for name in _UNENFORCED:
        if schema.get(name, False) is not False:
            yield name
    together = schema.get("allOf") or []
    if not isinstance(together, list) or len(together) > 1:
        yield "allOf"
    if not str(schema.get("$ref", "#")).startswith("#"):
        yield "$ref"
    if "pattern" in schema:
        yield from (name for name in _BESIDE_PATTERN if name in schema)
