"""Describes what is wrong in a file that a human wrote, in a line for each fault."""

import types
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_NOT_WRITTEN = ("name", "folder")
"""Fields that come from where the file lies."""


def fault_lines(kind: type[BaseModel], error: ValidationError) -> str:
    """All faults of a file of this kind, one per line: the field, what it has, what is possible."""
    return "\n".join(_line(kind, fault) for fault in error.errors())


def _line(kind: type[BaseModel], fault: ErrorDetails) -> str:
    field = ".".join(map(str, fault["loc"]))
    found = fault["input"]
    match fault["type"]:
        case "extra_forbidden":
            possible = ", ".join(_fields(kind, fault["loc"][:-1]))
            return f"{field}: no such field; possible: {possible}"
        case "value_error":
            said = str(fault["ctx"]["error"])
            return f"{field}: {said}" if field else said
        case _:
            said = fault["msg"][:1].lower() + fault["msg"][1:]
            shown = f"{found!r} given; " if not isinstance(found, Mapping) else ""
            return f"{field}: {shown}{said}"


def _fields(kind: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    """Fields of the table at `path`."""
    for name in path:
        inner = kind.model_fields.get(str(name))
        table = _table(inner.annotation) if inner else None
        if table is None:  # a key that the file's author chose, such as a model's
            continue
        kind = table
    return [name for name in kind.model_fields if name not in _NOT_WRITTEN]


def _table(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as `Gpu | None` or `dict[str, Placement]`."""
    if get_origin(annotation) is None and not isinstance(annotation, types.UnionType):
        is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
        return annotation if is_model else None
    return next((found for each in get_args(annotation) if (found := _table(each))), None)
