"""Checks bodies of the Open Inference Protocol for faults that Triton 2.51 handles wrongly.

It answers 500 to a text in the place of a number, to a shape of [-1] and to an id that is a number.
It reads only the low bits of an integer of 2^32 and more. For a shape with more values than are
given it allocates memory for all of them, and crashes.
"""

import math
from array import array
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ensembles.contracts import LLM
from ensembles.embed import EMBED
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UNARY
from ensembles.rag import RAG, RAG_CANCELLABLE
from ensembles.rerank import RERANK
from ensembles.retrieve import RETRIEVE
from ensembles.search import ANSWER, SEARCH
from gateway.errors import BadRequest
from gateway.upstream.infer import BINARY_SIZE

_INTEGERS = {
    **{"INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q"},
    **{"UINT8": "B", "UINT16": "H", "UINT32": "I", "UINT64": "Q"},
}
"""Type codes of Python's arrays with the same range."""
_FLOATS = ("FP16", "BF16", "FP32", "FP64")
_WIDTHS = {
    **{name: array(code).itemsize for name, code in _INTEGERS.items()},
    **{"BOOL": 1, "FP16": 2, "BF16": 2, "FP32": 4, "FP64": 8},
}
"""Bytes of a value after the JSON."""
_LENGTH_BYTES = 4
"""Bytes of the length before each text after the JSON."""
_NOT_HERE = "shared_memory_region"
_SIZE_LIMIT, _RANK_LIMIT = 2**31, 8

_GRAPHS = (EMBED, RERANK, RETRIEVE, RAG, RAG_CANCELLABLE, SEARCH, ANSWER, ENSEMBLE)
_CONTRACTS = (*(graph.contract for graph in _GRAPHS), LLM, ENSEMBLE_UNARY)

DATATYPES: Mapping[str, Mapping[str, str]] = {
    contract.name: {spec.name: spec.dtype.value for spec in contract.inputs}
    for contract in _CONTRACTS
}
"""Inputs of this repository's models; for other models the datatype is the one in the request."""

REQUIRED: Mapping[str, tuple[str, ...]] = {
    contract.name: tuple(spec.name for spec in contract.inputs if not spec.optional)
    for contract in _CONTRACTS
}
"""Inputs without which Triton's streams may be empty, with status 200."""


def check_infer(body: Any, behind_bytes: int = 0) -> None:
    """Checks a body of `infer` with `behind_bytes` after its JSON; raises `BadRequest`."""
    _check_head(body)
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadRequest.at("inputs", "a list of at least one tensor is needed")
    told_bytes = sum(_check_tensor(given, f"inputs[{i}]") for i, given in enumerate(inputs))
    if told_bytes != behind_bytes:
        raise BadRequest.at(
            "inputs", f"{behind_bytes} bytes are behind the JSON; {BINARY_SIZE} says {told_bytes}"
        )
    outputs = body.get("outputs", [])
    if not isinstance(outputs, list):
        raise BadRequest.at("outputs", "a list is needed")
    for index, asked in enumerate(outputs):
        _check_named(asked, f"outputs[{index}]")


def check_generate(model: str, body: Any) -> None:
    """Checks a body of `generate` or `generate_stream`; raises `BadRequest`."""
    _check_head(body)
    datatypes = DATATYPES.get(model, {})
    parameters = body.get("parameters", {})
    for name in REQUIRED.get(model, ()):
        if name not in body and name not in parameters:
            raise BadRequest.at(name, "missing")
    for name, value in chain(body.items(), parameters.items()):
        if name in datatypes:
            _check_values(name, datatypes[name], value if isinstance(value, list) else [value])


def _check_head(body: Any) -> None:
    if not isinstance(body, dict):
        raise BadRequest("body: a JSON object is needed")
    if not isinstance(body.get("id", ""), str):
        raise BadRequest.at("id", "a text is needed")
    if not isinstance(body.get("parameters", {}), dict):
        raise BadRequest.at("parameters", "an object is needed")


def _check_tensor(given: Any, field: str) -> int:
    """Checks a tensor; returns how many bytes after the JSON belong to it."""
    parameters = _check_named(given, field)
    count = _count(given.get("shape"), f"{field}.shape")
    datatype = given.get("datatype")
    if datatype != "BYTES" and datatype not in _WIDTHS:
        raise BadRequest(f"{field}.datatype: unknown", field=field)
    if BINARY_SIZE in parameters and "data" not in given:
        return _check_size(parameters[BINARY_SIZE], datatype, count, field)
    if not isinstance(given.get("data"), list) or BINARY_SIZE in parameters:
        raise BadRequest(f"{field}.data: a list is needed, or {BINARY_SIZE}", field=field)
    found = _check_values(f"{field}.data", datatype, given["data"])
    if found != count:
        raise BadRequest(f"{field}.data: {found} values given; its shape has {count}", field=field)
    return 0


def _check_named(given: Any, field: str) -> dict[str, Any]:
    """Checks that a tensor has a name; returns its parameters."""
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise BadRequest.at(field, "a tensor with a name is needed")
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict):
        raise BadRequest(f"{field}.parameters: an object is needed", field=field)
    if _NOT_HERE in parameters:
        raise BadRequest.at(field, "shared memory is not offered here")
    return parameters


def _count(shape: Any, field: str) -> int:
    """Checks a shape; returns how many values a tensor of it has."""
    if (
        not isinstance(shape, list)
        or len(shape) > _RANK_LIMIT
        or not all(type(size) is int and 0 <= size < _SIZE_LIMIT for size in shape)
    ):
        raise BadRequest.at(
            field, f"a list of at most {_RANK_LIMIT} sizes from 0 to {_SIZE_LIMIT - 1} is needed"
        )
    return math.prod(shape)


def _check_size(size: Any, datatype: str, count: int, field: str) -> int:
    """Checks the size of `count` values in bytes, and returns it; each text follows its length."""
    least = count * _WIDTHS.get(datatype, _LENGTH_BYTES)
    if type(size) is not int or size < least or (size > least and datatype != "BYTES"):
        raise BadRequest(
            f"{field}.parameters.{BINARY_SIZE}: its shape has {count} values, of {least} bytes"
            f"{' and more' if datatype == 'BYTES' else ''}",
            field=field,
        )
    return size


def _check_values(field: str, datatype: str, values: list[Any]) -> int:
    """Checks values, in rows or not; returns how many there are."""
    while values and isinstance(values[0], list):
        if not all(isinstance(each, list) for each in values):
            raise BadRequest.at(field, "rows and values are mixed")
        values = list(chain.from_iterable(values))
    if not _fit(datatype, values):
        raise BadRequest.at(field, f"a value is not {datatype}, or out of its range")
    return len(values)


def _fit(datatype: str, values: list[Any]) -> bool:
    kinds = set(map(type, values))
    if datatype in _INTEGERS:
        return kinds <= {int} and _fit_range(_INTEGERS[datatype], values)
    if datatype in _FLOATS:
        return kinds <= {int, float}
    return kinds <= ({bool} if datatype == "BOOL" else {str})


def _fit_range(code: str, values: list[int]) -> bool:
    try:
        array(code, values)
    except OverflowError:
        return False
    return True
