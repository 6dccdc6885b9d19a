"""Bodies of the Open Inference Protocol, checked for what Triton 2.51 answers wrongly.

It answers 500 to a text where a number is due, to a shape of [-1] and to an id that is a number,
and reads an integer of 2^32 and more as its low bits.
"""

from array import array
from collections.abc import Mapping
from itertools import chain
from typing import Any

from ensembles.contracts import LLM
from ensembles.embed import EMBED
from ensembles.ensemble import ENSEMBLE, ENSEMBLE_UINT32, ENSEMBLE_UNARY
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
"""Codes of Python's arrays that hold the same range."""
_FLOATS = ("FP16", "BF16", "FP32", "FP64")

_GRAPHS = (EMBED, RERANK, RETRIEVE, RAG, RAG_CANCELLABLE, SEARCH, ANSWER, ENSEMBLE)
_CONTRACTS = (*(graph.contract for graph in _GRAPHS), LLM, ENSEMBLE_UINT32, ENSEMBLE_UNARY)

DATATYPES: Mapping[str, Mapping[str, str]] = {
    contract.name: {spec.name: spec.dtype.value for spec in contract.inputs}
    for contract in _CONTRACTS
}
"""Inputs of our entries; other models of the server are checked by what requests say of them."""


def check_infer(body: Any) -> None:
    """A body of `infer`; raises `BadRequest`."""
    _check_head(body)
    inputs = body.get("inputs")
    if not isinstance(inputs, list) or not inputs:
        raise BadRequest("inputs: a list of at least one tensor is needed", field="inputs")
    for index, given in enumerate(inputs):
        _check_tensor(given, f"inputs[{index}]")


def check_generate(model: str, body: Any) -> None:
    """A body of `generate` or `generate_stream`; raises `BadRequest`."""
    _check_head(body)
    datatypes = DATATYPES.get(model, {})
    parameters = body.get("parameters", {})
    if not isinstance(parameters, dict):
        raise BadRequest("parameters: an object is needed", field="parameters")
    for name, value in chain(body.items(), parameters.items()):
        if name in datatypes:
            _check_values(name, datatypes[name], value if isinstance(value, list) else [value])


def _check_head(body: Any) -> None:
    if not isinstance(body, dict):
        raise BadRequest("body: a JSON object is needed")
    if not isinstance(body.get("id", ""), str):
        raise BadRequest("id: a text is needed", field="id")


def _check_tensor(given: Any, field: str) -> None:
    if not isinstance(given, dict) or not isinstance(given.get("name"), str):
        raise BadRequest(f"{field}: a tensor with a name is needed", field=field)
    shape = given.get("shape")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise BadRequest(f"{field}.shape: a list of sizes of 0 and more is needed", field=field)
    datatype = given.get("datatype")
    if datatype not in ("BOOL", "BYTES", *_INTEGERS, *_FLOATS):
        raise BadRequest(f"{field}.datatype: unknown", field=field)
    parameters = given.get("parameters", {})
    if not isinstance(parameters, dict) or type(parameters.get(BINARY_SIZE, 0)) is not int:
        raise BadRequest(f"{field}.parameters: an object is needed", field=field)
    if "data" in given:  # else it follows the JSON as bytes, or lies in shared memory
        if not isinstance(given["data"], list):
            raise BadRequest(f"{field}.data: a list is needed", field=field)
        _check_values(f"{field}.data", datatype, given["data"])


def _check_values(field: str, datatype: str, values: list[Any]) -> None:
    while values and isinstance(values[0], list):
        if not all(isinstance(each, list) for each in values):
            raise BadRequest(f"{field}: rows and values are mixed", field=field)
        values = list(chain.from_iterable(values))
    if not _fit(datatype, values):
        raise BadRequest(f"{field}: a value is not {datatype}, or out of its range", field=field)


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
