"""Functions that the protocols for embeddings and for relevance share."""

import base64
import math
import struct
import sys
from array import array
from collections.abc import Sequence
from typing import Any

from gateway.call import Usage
from gateway.errors import BadRequest


def refuse_start(truncate: str | None) -> None:
    """Raises `BadRequest` if a request asks to cut off the beginning of a long text."""
    if truncate == "START":
        raise BadRequest.at("truncate", "START is not offered; NONE and END are")


def floats(row: bytes) -> list[float]:
    """The values of a row of little-endian FP32."""
    values = array("f", row)
    if sys.byteorder == "big":
        values.byteswap()
    return values.tolist()


def encoded(row: bytes, kind: str) -> list[float] | str:
    """A row of little-endian FP32 as its values, or as base64 text if `kind` says so."""
    return base64.b64encode(row).decode() if kind == "base64" else floats(row)


def unit(values: list[float]) -> list[float]:
    """The values with length 1; a row of zeros stays."""
    length = math.sqrt(math.fsum(value * value for value in values))
    return [value / length for value in values] if length else values


def unit_row(row: bytes) -> bytes:
    """A row of little-endian FP32, scaled to length 1; a row of zeros stays."""
    return struct.pack(f"<{len(row) // 4}f", *unit(floats(row)))


def by_relevance(logits: Sequence[float], top_n: int | None = None) -> list[tuple[int, float]]:
    """Index and logit of the `top_n` best, best first; equal ones in the request's order."""
    order = sorted(range(len(logits)), key=lambda i: -logits[i])
    return [(i, logits[i]) for i in order[:top_n]]


def probability(logit: float) -> float:
    """The logistic function: 0 to 1, as Cohere, Jina and TEI scale their scores."""
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return 1 - 1 / (1 + math.exp(logit))


def input_usage(usage: Usage) -> dict[str, Any]:
    """OpenAI's `usage` for a request whose answer has no tokens."""
    return {"prompt_tokens": usage.input_tokens, "total_tokens": usage.input_tokens}
