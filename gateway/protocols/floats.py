"""Rows of an embedding as numbers."""

import math
import sys
from array import array


def floats(row: bytes) -> list[float]:
    """The values of a row of little-endian FP32."""
    values = array("f", row)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def unit(values: list[float]) -> list[float]:
    """The values with length 1; a row of zeros stays."""
    length = math.sqrt(math.fsum(value * value for value in values))
    return [value / length for value in values] if length else values
