"""Translates OpenAI's filters of a file search into filters of collections."""

from typing import Any

import orjson

from gateway.errors import BadRequest

_GROUPS = ("and", "or")
_COMPARISONS = ("eq", "ne", "gt", "gte", "lt", "lte", "in", "nin")
_MOST_NESTED = 8


def collection_filter(given: Any, field: str = "filters") -> str:
    """The filter, as JSON, for `{"type": "eq", "key": …, "value": …}` or `{"type": "and", …}`.

    It is empty without a filter. Raises `BadRequest`.
    """
    return "" if given is None else orjson.dumps(_translated(given, field, 0)).decode()


def _translated(given: Any, field: str, depth: int) -> dict[str, Any]:
    kind = given.get("type") if isinstance(given, dict) else None
    if depth > _MOST_NESTED:
        raise BadRequest.at(field, f"nested deeper than {_MOST_NESTED}")
    if kind in _GROUPS and isinstance(parts := given.get("filters"), list) and parts:
        translated = [
            _translated(p, f"{field}.filters.{i}", depth + 1) for i, p in enumerate(parts)
        ]
        return {f"${kind}": translated}
    if (
        kind in _COMPARISONS
        and isinstance(key := given.get("key"), str)
        and key[:1] not in ("", "$")
    ):
        return {key: {f"${kind}": given.get("value")}}
    raise BadRequest.at(
        field,
        f'{{"type": {"|".join(_COMPARISONS)}, "key", "value"}} or {{"type": "and"|"or", '
        '"filters": […]} is needed',
    )
