"""Turns arguments of calls into tensors; types are checked here, ranges by the server."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, TypedDict

from triton_rag.wire import Tensor


class SearchOptions(TypedDict, total=False):
    """How to find sources; what is left out is the server's default."""

    num_candidates: int
    """How many passages are reranked, the best by similarity and words."""
    num_sources: int
    """How many of them are returned, the best by similarity, words and relevance."""


class CollectionOptions(SearchOptions, total=False):
    """How to search a collection."""

    filter: Mapping[str, object]
    """Conditions on documents, such as `{"language": "en", "year": {"$gte": 2020}}`
    (docs/collections.md)."""


class SamplingOptions(TypedDict, total=False):
    """How to generate; what is left out is the served model's default."""

    max_tokens: int
    """Most tokens to generate."""
    min_tokens: int
    """Fewest tokens to generate before the model may end the text."""
    temperature: float
    """0 takes the likeliest token each time."""
    top_k: int
    """Sample among the k likeliest tokens; 0 means no limit."""
    top_p: float
    """Sample among the likeliest tokens that together have this probability; 1: no limit."""
    repetition_penalty: float
    """Above 1 makes tokens that were used less likely; 1 means none."""
    presence_penalty: float
    """Above 0 makes every token that was used less likely, once; 0 means none."""
    frequency_penalty: float
    """Above 0 makes tokens less likely each time that they are used; 0 means none."""
    seed: int
    """Equal seeds give equal texts; random where left out."""
    stop_words: Sequence[str]
    """The text ends before the first of these."""


class AskOptions(CollectionOptions, SamplingOptions, total=False):
    """How to answer a question."""

    collection: str
    """Name of the collection to answer from, instead of documents."""

    check_grounding: bool
    """False: the model's text as it is, whether or not the sources support it."""
    model: str
    """"rag_cancellable" by default. "rag" is the same as a plain Triton ensemble, which continues
    when its client has stopped waiting. It has no effect with a collection."""


SEARCH_TYPES = {"num_candidates": "INT32", "num_sources": "INT32"}

SAMPLING_TYPES = {
    "max_tokens": "INT32",
    "min_tokens": "INT32",
    "temperature": "FP32",
    "top_k": "INT32",
    "top_p": "FP32",
    "repetition_penalty": "FP32",
    "presence_penalty": "FP32",
    "frequency_penalty": "FP32",
    "seed": "UINT64",
    "stop_words": "BYTES",
}

GROUNDING_TYPES = {"check_grounding": "BOOL"}

_INTEGERS = {"INT32": range(-(2**31), 2**31), "UINT64": range(2**64)}


def option_tensors(options: Mapping[str, object], dtypes: Mapping[str, str]) -> Iterator[Tensor]:
    """Tensors of the options that are set; raises TypeError for names that `dtypes` lacks."""
    for name, value in options.items():
        if name not in dtypes:
            raise TypeError(f"{name}: no such option; possible are {', '.join(dtypes)}")
        if value not in (None, (), []):
            yield _tensor(name, dtypes[name], value)


def filter_tensors(wanted: object) -> list[Tensor]:
    """The tensor of a filter, as JSON; none for None."""
    if wanted is None:
        return []
    if not isinstance(wanted, Mapping):
        raise TypeError(f"filter: {type(wanted).__name__} given; a mapping of fields is needed")
    return [Tensor("filter", "BYTES", [json.dumps(dict(wanted), ensure_ascii=False)])]


def text_tensor(name: str, value: object) -> Tensor:
    if not isinstance(value, str):
        raise TypeError(f"{name}: {_shown(value)} given; one string is needed")
    return Tensor(name, "BYTES", [value])


def texts_tensor(name: str, values: object) -> Tensor:
    """A BYTES tensor of several strings. A single string is refused: its letters would be sent.

    Raises TypeError, and ValueError when there are none.
    """
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(f"{name}: {_shown(values)} given; a list of strings is needed")
    for index, value in enumerate(values):
        if not isinstance(value, str):
            raise TypeError(f"{name}[{index}]: {_shown(value)} given; a string is needed")
    if not values:
        raise ValueError(f"{name}: none given; one or more is needed")
    return Tensor(name, "BYTES", values)


def _tensor(name: str, dtype: str, value: object) -> Tensor:
    if dtype == "BYTES":
        return texts_tensor(name, value)
    if dtype == "FP32":
        return Tensor(name, dtype, [_real(name, value)])
    if dtype == "BOOL":
        return Tensor(name, dtype, [_boolean(name, value)])
    return Tensor(name, dtype, [_integer(name, dtype, value)])


def _boolean(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name}: {_shown(value)} given; True or False is needed")
    return value


def _real(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"{name}: {_shown(value)} given; a number is needed")
    return float(value)


def _integer(name: str, dtype: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError(f"{name}: {_shown(value)} given; a whole number is needed")
    possible = _INTEGERS[dtype]
    if int(value) not in possible:
        raise ValueError(f"{name}: {value} given; {possible.start} to {possible.stop - 1} fit")
    return int(value)


def _shown(value: Any) -> str:
    return f"{value!r:.40} ({type(value).__name__})"
