"""The lines of a page that is a picture, by RapidOCR and the models in its package (PP-OCRv6).

They read Latin, Chinese and Japanese script. With another script their confidence is low, and the
page is left out.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rapidocr import RapidOCR

from triton_rag.ingestion.readers.pdf_lines import HYPHEN, Line

DPI = 150
"""Resolution of a page's picture: with 150 as with 200 dpi, 99 % of printed words were right."""
LEAST_SIDE = 1000
"""Least length of the longer side, in pixels: some programs declare a tiny size for a scan."""
MAX_SIDE = 3000
"""Most length of a side, in pixels; larger pictures are made smaller."""

_THREADS = 2
_LEAST_SURE = 0.85
"""Least mean confidence of the model: 0.96 and more on print in its scripts, 0.82 on Greek."""
_LARGER = 1.35
"""Type counts as larger from this many times the usual height: letters differ in height by less."""
_TURNS = (0, 1, 3, 2)
"""Rotations to try, in quarters of a circle; the first one with readable text is used."""
_SAME_ROW = 0.5
"""Share of the smaller height by which boxes of one line overlap at least."""
_FEWEST_ROWS = 5
_COLUMN_SHARE, _COLUMN_FILLED = 0.3, 0.6
"""Least shares of a column of text: its width of the page's, and its lines' width of its own.
Columns of a table have less."""
_MOST_ACROSS = 0.3


@dataclass(frozen=True)
class Box:
    """Text and its place, in pixels from the upper left corner."""

    text: str
    left: float
    top: float
    right: float
    bottom: float

    @property
    def height(self) -> float:
        return self.bottom - self.top

    @property
    def width(self) -> float:
        return self.right - self.left


def read_picture(pixels: Any, points: float) -> list[Line]:
    """The lines of a page in the order of reading; none if the model's confidence is too low.

    `pixels` is an array of uint8 [height, width, 3], blue first; a pixel is `points` points wide.
    """
    for turns in _TURNS:
        turned = np.ascontiguousarray(np.rot90(pixels, turns))
        boxes, share = _boxes(turned)
        if not boxes:
            break
        if share >= _LEAST_SURE:
            rows = [_joined(row) for column in columns(boxes) for row in _rows(column)]
            height = float(turned.shape[0])
            return undivided([_line(row, height, points) for row in even(rows)])
    return []


def _boxes(pixels: Any) -> tuple[list[Box], float]:
    """The text in a picture, and the model's mean confidence per character, 0 to 1."""
    found = _model()(pixels, use_cls=False)
    texts, scores = found.txts or (), found.scores or ()
    letters = sum(map(len, texts))
    sure = sum(len(text) * score for text, score in zip(texts, scores, strict=True))
    corners = level(np.asarray(found.boxes, np.float64)) if texts else ()
    boxes = [
        Box(text, *corner.min(axis=0).tolist(), *corner.max(axis=0).tolist())
        for text, corner in zip(texts, corners, strict=True)
    ]
    return boxes, sure / letters if letters else 0.0


def level(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of boxes, FP64 [boxes, 4, 2] beginning with the upper left one, rotated so that
    lines are level: on a skewed scan, parts of different lines would have the same height."""
    along = corners[:, 1] - corners[:, 0]
    lengths = np.hypot(*along.T)
    x, y = along[lengths >= np.median(lengths)].T  # longer boxes show the angle better
    angle = float(np.median(np.arctan2(y, x)))
    cosine, sine = math.cos(angle), math.sin(angle)
    turned: NDArray[np.float64] = corners @ np.array([[cosine, -sine], [sine, cosine]])
    return turned


@cache
def _model() -> RapidOCR:
    return RapidOCR(
        params={
            "Global.log_level": "error",
            "Global.text_score": 0.0,  # uncertain text shows that it can't read the page
            "EngineConfig.onnxruntime.intra_op_num_threads": _THREADS,
        }
    )


def columns(boxes: Sequence[Box]) -> list[list[Box]]:
    """The boxes in groups to be read one after the other: two columns of text are two groups, and a
    box across both columns ends them."""
    middle = _gutter(boxes)
    if middle is None:
        return [list(boxes)]
    groups: list[list[Box]] = []
    left, right = list[Box](), list[Box]()
    for box in sorted(boxes, key=lambda box: box.top):
        if box.right <= middle:
            left.append(box)
        elif box.left >= middle:
            right.append(box)
        else:
            left, above = _without_heading(left, right, box)
            groups += [left, right, [*above, box]]
            left, right = [], []
    return [group for group in [*groups, left, right] if group]


def _without_heading(
    left: list[Box], right: Sequence[Box], below: Box
) -> tuple[list[Box], list[Box]]:
    """The left column, and its last line apart if that is the heading of what is below both
    columns: it is below the right column too, and nearer to what follows."""
    *column, last = left or [below]
    if not column or last.top < max((box.bottom for box in right), default=below.top):
        return left, []
    is_nearer = below.top - last.bottom < last.top - max(box.bottom for box in column)
    return (column, [last]) if is_nearer else (left, [])


def _gutter(boxes: Sequence[Box]) -> float | None:
    """The x coordinate between two columns of text; None where there are none."""
    crossed, page_width = {}, _width(boxes)
    for middle in {box.right for box in boxes}:
        sides = [b for b in boxes if b.right <= middle], [b for b in boxes if b.left >= middle]
        if all(_is_column(side, page_width) for side in sides):
            crossed[middle] = len(boxes) - sum(map(len, sides))
    best = min(crossed, key=lambda middle: crossed[middle], default=None)
    return best if best is not None and crossed[best] <= _MOST_ACROSS * len(boxes) else None


def _is_column(boxes: Sequence[Box], page_width: float) -> bool:
    if len(boxes) < _FEWEST_ROWS or _width(boxes) < _COLUMN_SHARE * page_width:
        return False
    return statistics.median(box.width for box in boxes) >= _COLUMN_FILLED * _width(boxes)


def _width(boxes: Sequence[Box]) -> float:
    """The width that the boxes take together."""
    return max(box.right for box in boxes) - min(box.left for box in boxes)


def _rows(boxes: Sequence[Box]) -> list[list[Box]]:
    """Rows of boxes that are side by side, each from left to right, from the top down."""
    rows: list[list[Box]] = []
    for box in sorted(boxes, key=lambda box: box.top + box.bottom):
        last = rows[-1][-1] if rows else None
        if last and _overlap(last, box) >= _SAME_ROW * min(last.height, box.height):
            rows[-1].append(box)
        else:
            rows.append([box])
    return [sorted(row, key=lambda box: box.left) for row in rows]


def _overlap(one: Box, other: Box) -> float:
    return min(one.bottom, other.bottom) - max(one.top, other.top)


def _joined(row: Sequence[Box]) -> Box:
    return Box(
        " ".join(box.text for box in row),
        min(box.left for box in row),
        min(box.top for box in row),
        max(box.right for box in row),
        max(box.bottom for box in row),
    )


def even(rows: Sequence[Box]) -> list[Box]:
    """The rows, with the same height for all but those in larger type."""
    usual = statistics.median(row.height for row in rows)
    return [
        row if row.height > _LARGER * usual else replace(row, top=row.bottom - usual)
        for row in rows
    ]


def _line(row: Box, page_height: float, points: float) -> Line:
    y = (page_height - row.bottom) * points
    size = round(row.height * points)
    return Line(row.text, row.left * points, y, row.right * points, y, size, 400)


def undivided(lines: Sequence[Line]) -> list[Line]:
    """The lines, with both parts of a divided word in the first one, as PDFium has them."""
    made = list(lines)
    for at, (line, after) in enumerate(pairwise(lines)):
        word, _, rest = after.text.partition(" ")
        if line.text.endswith("-") and line.text[-2:-1].isalpha() and word[:1].islower():
            made[at] = replace(made[at], text=made[at].text[:-1] + HYPHEN + word)
            made[at + 1] = replace(after, text=rest)
    return [line for line in made if line.text]
