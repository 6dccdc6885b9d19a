"""What is wrong with settings, in a line each: where, what was found, and what is possible."""

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_NOT_SHOWN = ("store_url", "keys_url", "nul")
"""Kinds of faults whose values are not shown, because they may be secrets."""


def fault_lines(error: ValidationError, settings: type[BaseModel]) -> Iterator[str]:
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        if fault["type"] in _UNKNOWN:
            yield f"{where}: there is no such setting{_instead(fault['loc'], settings)}"
            continue
        given = "" if fault["type"] in _NOT_SHOWN else f"; {fault['input']!r:.80} given"
        yield f"{where}: {_small(fault['msg'])}{given}"


def _small(message: str) -> str:
    """Pydantic's sentence with a small first letter, to follow a colon; HOST:PORT stays."""
    return message if message[:2].isupper() else message[:1].lower() + message[1:]


def _instead(where: Sequence[int | str], settings: type[BaseModel]) -> str:
    possible = _names(where[:-1], settings.model_json_schema())
    close = get_close_matches(str(where[-1]), possible, n=1)
    if close:
        return f"; {close[0]} is"
    return f"; possible: {', '.join(possible)}" if possible else ""


def _names(where: Sequence[int | str], schema: dict[str, Any]) -> list[str]:
    """The settings of the table at `where`."""
    node = schema
    for step in where:
        inside = (
            node.get("items") if isinstance(step, int) else node.get("properties", {}).get(step)
        )
        node = _resolved(inside or node.get("additionalProperties") or {}, schema)
    return list(node.get("properties", {}))


def _resolved(node: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    reference = node.get("$ref", "")
    found = schema["$defs"][reference.rpartition("/")[2]] if reference else node
    return dict(found)
