"""Filters: what a search asks of the metadata of documents, as JSON.

    {"language": "en"}                                equal
    {"language": {"$in": ["en", "de"]}}               one of several; $nin: none of them
    {"year": {"$gte": 2020, "$lt": 2025}}             a range: $gt, $gte, $lt, $lte
    {"year": {"$ne": 2020}}                           not equal
    {"$or": [{"language": "en"}, {"year": 2020}]}     any of several; $and: all of them

The operators are MongoDB's, as in most vector stores. All conditions of an object must hold. A
document without a field fits no condition on it. Beside the metadata there are the fields
`document` (the id) and `title`.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from python_backends.errors import RequestError

Value = str | bool | int | float
FieldType = Literal["text", "number", "boolean"]

BUILT_IN: dict[str, FieldType] = {"document": "text", "title": "text"}
"""Fields that every collection has, and their types."""

COMPARISONS = {"$eq": "=", "$ne": "<>", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
"""Operators that take one value, and how SQL writes them."""
MEMBERSHIPS = {"$in": "IN", "$nin": "NOT IN"}
"""Operators that take a list."""
GROUPS = {"$and": "AND", "$or": "OR"}

MAX_VALUES = 1000
"""Most values in one filter."""
_MAX_DEPTH = 8


@dataclass(frozen=True)
class Condition:
    """`operator` is one of `COMPARISONS`, which have one value, or `MEMBERSHIPS`."""

    field: str
    operator: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Group:
    """`operator` is one of `GROUPS`; an empty `$and` is no filter."""

    operator: str
    parts: "tuple[Filter, ...]"


Filter = Condition | Group
NO_FILTER = Group("$and", ())


def parse(text: str, fields: Mapping[str, FieldType]) -> Filter:
    """The filter for a collection that has `fields`, with their types; raises `RequestError`."""
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"filter: not JSON ({str(error)[:80]})") from error
    parsed = _group(given, "filter", 0)
    for condition in conditions(parsed):
        _check(condition, {**BUILT_IN, **fields})
    if sum(len(condition.values) for condition in conditions(parsed)) > MAX_VALUES:
        raise RequestError(f"filter: more than {MAX_VALUES:,} values")
    return parsed


def conditions(wanted: Filter) -> Iterator[Condition]:
    """All conditions, from left to right."""
    if isinstance(wanted, Condition):
        yield wanted
    else:
        for part in wanted.parts:
            yield from conditions(part)


def _group(given: Any, where: str, depth: int) -> Group:
    if not isinstance(given, dict):
        raise RequestError(
            f'{where}: {_shown(given)} given; an object such as {{"language": "en"}} is needed'
        )
    if depth > _MAX_DEPTH:
        raise RequestError(f"filter: nested deeper than {_MAX_DEPTH}")
    return Group("$and", tuple(_parts(given, where, depth)))


def _parts(given: Mapping[str, Any], where: str, depth: int) -> Iterator[Filter]:
    for name, asked in given.items():
        inner = f"{where}.{name[:40]}"
        if name in GROUPS:
            if not isinstance(asked, list) or not asked:
                raise RequestError(f"{inner}: {_shown(asked)} given; a list of filters is needed")
            parts = (_group(p, f"{inner}[{i}]", depth + 1) for i, p in enumerate(asked))
            yield Group(name, tuple(parts))
        elif name.startswith("$"):
            raise RequestError(f"{inner}: no such operator; here are {', '.join(GROUPS)}")
        elif isinstance(asked, dict):
            yield from (_condition(name, *pair, inner) for pair in asked.items())
        else:
            yield _condition(name, "$in" if isinstance(asked, list) else "$eq", asked, inner)


def _condition(name: str, operator: str, asked: Any, where: str) -> Condition:
    if operator in MEMBERSHIPS:
        if not isinstance(asked, list) or not asked:
            raise RequestError(f"{where}: {_shown(asked)} given; a list of values is needed")
        return Condition(name, operator, tuple(_value(one, where) for one in asked))
    if operator not in COMPARISONS:
        possible = ", ".join((*COMPARISONS, *MEMBERSHIPS))
        raise RequestError(f"{where}: no operator '{operator[:20]}'; possible are {possible}")
    return Condition(name, operator, (_value(asked, where),))


def is_value(given: Any) -> bool:
    """Whether stores can keep and compare a value: not NaN, infinity or half a surrogate pair."""
    if isinstance(given, str):
        return given.isascii() or given.encode(errors="ignore").decode() == given
    return isinstance(given, int | float) and abs(given) < 1e300


def _value(given: Any, where: str) -> Value:
    if is_value(given):
        return given  # type: ignore[no-any-return]
    shown = "half of a surrogate pair" if isinstance(given, str) else _shown(given)
    raise RequestError(f"{where}: {shown} given; text, a number, true or false is needed")


def _check(condition: Condition, fields: Mapping[str, FieldType]) -> None:
    if condition.field not in fields:
        raise RequestError(
            f"filter: no document of the collection has a field '{condition.field[:40]}'; fields "
            f"are {', '.join(sorted(fields))}"
        )
    wanted = fields[condition.field]
    for value in condition.values:
        if (found := type_of(value)) != wanted:
            raise RequestError(f"filter.{condition.field}: {wanted} is needed, {found} given")
    if wanted == "boolean" and condition.operator not in ("$eq", "$ne", *MEMBERSHIPS):
        raise RequestError(f"filter.{condition.field}: true and false have no order")


def type_of(value: Value) -> FieldType:
    """The type of a field that has this value."""
    if isinstance(value, bool):
        return "boolean"
    return "text" if isinstance(value, str) else "number"


def _shown(given: Any) -> str:
    if isinstance(given, dict):
        return "an object"
    if isinstance(given, str):
        return "text"
    return "a list" if isinstance(given, list) else json.dumps(given)[:40]


def fits_all(wanted: Filter) -> bool:
    return isinstance(wanted, Group) and not any(True for _ in conditions(wanted))
