"""What is wrong with settings, in a line each: where, what was found, and what is possible."""

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

_UNKNOWN = ("extra_forbidden", "unexpected_keyword_argument")
_NOT_SHOWN = ("store_url", "keys_url")
"""Faults of URLs; what stands there may be a secret."""


def lines(error: ValidationError, settings: type[BaseModel]) -> Iterator[str]:
    for fault in error.errors():
        where = ".".join(map(str, fault["loc"]))
        if fault["type"] in _UNKNOWN:
            yield f"{where}: there is no such setting{_instead(fault['loc'], settings)}"
            continue
        given = "" if fault["type"] in _NOT_SHOWN else f"; {fault['input']!r:.80} given"
        yield f"{where}: {_small(fault['msg'])}{given}"


def truth_values(given: Any, settings: Any, where: str = "") -> Iterator[str]:
    """A line for each true or false that was taken for a number."""
    for name, value in _items(given):
        taken = settings.get(name) if isinstance(settings, Mapping) else None
        taken = getattr(settings, str(name), taken)
        at = f"{where}.{name}".lstrip(".")
        if isinstance(value, bool) and isinstance(taken, int | float) and value is not taken:
            yield f"{at}: a number is needed; {str(value).lower()} given"
        yield from truth_values(value, taken, at)


def _items(given: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(given, Mapping):
        yield from given.items()


def _small(message: str) -> str:
    """Pydantic's sentence, to follow a colon; HOST:PORT stays."""
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
