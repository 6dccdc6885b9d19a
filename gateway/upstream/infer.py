"""Tensors to and from a model by HTTP `infer`, with outputs as bytes instead of JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import UpstreamFailed

BINARY_SIZE = "binary_data_size"
"""Parameter of a tensor whose values are bytes."""


@dataclass(frozen=True)
class Tensor:
    """An input tensor; `values` are a flat list, in the order of `shape`."""

    name: str
    datatype: str
    shape: Sequence[int]
    values: Sequence[Any]


def texts(name: str, *values: str) -> Tensor:
    """A tensor BYTES [texts]."""
    return Tensor(name, "BYTES", [len(values)], values)


def request_body(call: Call, inputs: Sequence[Tensor], outputs: Sequence[str]) -> bytes:
    """A request as JSON that asks for these outputs as bytes."""
    return orjson.dumps(
        {
            "id": call.request_id,
            "parameters": call.trace_headers,
            "inputs": [
                {"name": t.name, "datatype": t.datatype, "shape": t.shape, "data": t.values}
                for t in inputs
            ],
            "outputs": [{"name": n, "parameters": {"binary_data": True}} for n in outputs],
        }
    )


@dataclass(frozen=True)
class Outputs:
    """The answer of one model: `shapes` and little-endian `data` by tensor."""

    version: str
    shapes: dict[str, list[int]]
    data: dict[str, bytes]


def read_outputs(body: bytes, header_length: str) -> Outputs:
    """The outputs in a response; raises `UpstreamFailed` if it has no tensors as bytes."""
    if not header_length.isdecimal():
        raise UpstreamFailed("the models' server answered without tensors")
    start = int(header_length)
    head = orjson.loads(body[:start])
    shapes, data = {}, {}
    for output in head["outputs"]:
        end = start + output["parameters"][BINARY_SIZE]
        shapes[output["name"]], data[output["name"]] = output["shape"], body[start:end]
        start = end
    return Outputs(head["model_version"], shapes, data)


def first_number(given: Any) -> int | None:
    """The integer in `4`, `[4]` or `[[4]]`; None for any other value."""
    while isinstance(given, list) and given:
        given = given[0]
    return given if isinstance(given, int) else None


def read_texts(data: bytes) -> list[str]:
    """The texts of a BYTES tensor: each has its length before it, in 4 bytes."""
    found, start = [], 0
    while start < len(data):
        begin = start + 4
        start = begin + int.from_bytes(data[start:begin], "little")
        found.append(data[begin:start].decode())
    return found
