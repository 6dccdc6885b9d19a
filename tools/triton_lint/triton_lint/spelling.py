"""Suggestions for names that don't exist."""

import os
from collections.abc import Iterable
from difflib import get_close_matches

from triton_lint.schema import EnumType

_TYPES = {
    "STRING": "BYTES STR OBJECT TEXT",
    "FP64": "DOUBLE FLOAT64",
    "FP32": "FLOAT FLOAT32 SINGLE",
    "FP16": "HALF FLOAT16",
    "BF16": "BFLOAT16",
    "INT64": "LONG",
    "INT32": "INT INTEGER",
    "INT16": "SHORT",
    "UINT64": "ULONG",
    "UINT32": "UINT",
    "BOOL": "BOOLEAN",
}
_MEANT = {f"TYPE_{each}": f"TYPE_{name}" for name, all_ in _TYPES.items() for each in all_.split()}
"""What other frameworks call the types."""


def ends_with(name: str, end: str) -> bool:
    """Whether `end` is the name, or lacks its prefix only; case does not matter."""
    return f"_{name}".upper().endswith(f"_{end}".upper())


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The one name that must be meant; None where there is doubt."""
    names = list(known)
    ends = [each for each in names if ends_with(each, name)]
    if len(ends) == 1:
        return ends[0]
    prefix = _prefix(names)
    near = get_close_matches(
        name.removeprefix(prefix), [each.removeprefix(prefix) for each in names], n=2, cutoff=0.85
    )
    is_one = len(near) == 1 or (near and near[0].lower() == name.lower())
    return prefix + near[0] if is_one else None


def meant_enumerator(name: str, enum: EnumType) -> str | None:
    """The enumerator that must be meant; None where there is doubt."""
    other = _MEANT.get(f"TYPE_{name.upper().removeprefix('TYPE_')}")
    return other if other in enum.numbers else nearest(name, enum.numbers)


def hint(name: str, enum: EnumType) -> str:
    """`; did you mean 'x'?`, or "" when nothing is near."""
    meant = meant_enumerator(name, enum)
    return f"; did you mean '{meant}'?" if meant else did_you_mean(name, enum.numbers)


def did_you_mean(name: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """`; did you mean 'x'?`, or "" when nothing is near."""
    names = list(known)
    prefix = _prefix(names)
    by_end = {each.removeprefix(prefix).lower(): each for each in names}
    end = name.removeprefix(prefix).lower()
    near = [end] if end in by_end else get_close_matches(end, by_end, n=1, cutoff=cutoff)
    return f"; did you mean '{by_end[near[0]]}'?" if near else ""


def _prefix(names: list[str]) -> str:
    """What all names begin with, such as `TYPE_`: it makes none more alike than another."""
    prefix = os.path.commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071 - no paths
    return prefix[: prefix.rfind("_") + 1]
