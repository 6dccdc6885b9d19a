"""A layered layout: each node in a row, no two overlapping, arrows from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

ROW_GAP, NODE_GAP = 20.0, 22.0
"""Pixels between rows, and between the nodes of one."""
_SWEEPS = 24


@dataclass
class Spot:
    """A node in the drawing: a box, a label, or a bend of a long arrow; sizes in pixels."""

    width: float
    height: float
    row: int
    x: float = 0.0
    """Of its centre, as `y`."""
    y: float = 0.0
    row_height: float = 0.0
    near: "list[Spot]" = field(default_factory=list, repr=False)


def rows_of(keys: Sequence[str], links: Sequence[tuple[str, str]]) -> dict[str, int]:
    """The longest way to each node; links that close a circle are taken the other way."""
    forward = _without_circles(keys, links)
    found = dict.fromkeys(keys, 0)
    for _ in keys:
        before = dict(found)
        for source, target in forward:
            found[target] = max(found[target], found[source] + 1)
        if found == before:
            break
    return found


def _without_circles(
    keys: Sequence[str], links: Sequence[tuple[str, str]]
) -> list[tuple[str, str]]:
    """Links are taken one after the other, and turned where they would close a circle."""
    kept: list[tuple[str, str]] = []
    after: dict[str, set[str]] = {key: set() for key in keys}
    for source, target in links:
        if source == target:
            continue
        turned = source in _reached(target, after)
        one, other = (target, source) if turned else (source, target)
        after[one].add(other)
        kept.append((one, other))
    return kept


def _reached(start: str, after: dict[str, set[str]]) -> set[str]:
    found, waiting = {start}, [start]
    while waiting:
        fresh = after[waiting.pop()] - found
        found |= fresh
        waiting += fresh
    return found


def place(spots: Sequence[Spot]) -> None:
    """Set `x` and `y`; what belongs together comes near."""
    rows: dict[int, list[Spot]] = {}
    for spot in spots:
        rows.setdefault(spot.row, []).append(spot)
    _set_y([rows[key] for key in sorted(rows)])
    for row in rows.values():
        _line_up(row, [0.0] * len(row))
    for sweep in range(_SWEEPS):
        for key in sorted(rows, reverse=sweep % 2 == 1):
            row = rows[key]
            if sweep < _SWEEPS // 2:  # first the order, then only the distances
                row.sort(key=_wanted)
            _line_up(row, [_wanted(spot) for spot in row])


def _wanted(spot: Spot) -> float:
    return sum(each.x for each in spot.near) / len(spot.near) if spot.near else spot.x


def _set_y(rows: list[list[Spot]]) -> None:
    top = 0.0
    for row in rows:
        height = max(spot.height for spot in row)
        for spot in row:
            spot.y, spot.row_height = top + height / 2, height
        top += height + ROW_GAP


def _line_up(row: list[Spot], wanted: list[float]) -> None:
    """In order and without overlap, as near to `wanted` as can be (by least squares)."""
    offsets = [0.0]
    for left, right in pairwise(row):
        offsets.append(offsets[-1] + (left.width + right.width) / 2 + NODE_GAP)
    blocks: list[tuple[float, int]] = []  # the mean of each, and how many there are in it
    for want, offset in zip(wanted, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] >= mean:
            other, others = blocks.pop()
            mean = (mean * count + other * others) / (count + others)
            count += others
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    for spot, mean, offset in zip(row, means, offsets, strict=True):
        spot.x = mean + offset
