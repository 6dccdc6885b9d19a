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


def hint(name: str, enum: EnumType) -> str:
    """`; did you mean 'x'?`, or "" when nothing is near."""
    meant = _MEANT.get(f"TYPE_{name.upper().removeprefix('TYPE_')}", name)
    return did_you_mean(meant if meant in enum.numbers else name, enum.numbers)


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
