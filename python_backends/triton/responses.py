"""Tensors of Triton's stub to ours and back: contracts decide what is read and what may leave.

Triton checks neither that a required input is there nor that an output is what was declared.
"""

import logging
import traceback
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ensembles.contracts import ModelContract
from ensembles.graph import fits, full_dims
from ensembles.tensors import DType, TensorSpec
from python_backends.stage import Array, Outputs, RequestError, Tensors

NUMPY_TYPES: dict[DType, type] = {
    DType.BOOL: np.bool_,
    DType.INT32: np.int32,
    DType.INT64: np.int64,
    DType.UINT64: np.uint64,
    DType.FP16: np.float16,
    DType.FP32: np.float32,
    DType.STRING: np.object_,
}

logger = logging.getLogger("python_backends")


def read_inputs(pb: Any, contract: ModelContract, request: Any) -> Tensors:
    """The request's tensors; raises `RequestError` for a required one that is missing."""
    values: dict[str, Array] = {}
    for spec in contract.inputs:
        found = pb.get_input_tensor_by_name(request, spec.name)
        if found is not None:
            values[spec.name] = found.as_numpy()
        elif not spec.optional:
            raise RequestError(f"input '{spec.name}' is missing ({spec})")
    return Tensors(values)


def _as_array(value: Array | Sequence[str]) -> Array:
    if isinstance(value, np.ndarray):
        return value
    return np.array([text.encode() for text in value], dtype=np.object_)


def to_array(spec: TensorSpec, value: Array | Sequence[str], batched: bool) -> Array:
    """The value as Triton wants it: the contract's dtype and rank, UTF-8 bytes for STRING."""
    array = np.ascontiguousarray(_as_array(value))
    if array.dtype != NUMPY_TYPES[spec.dtype] or not fits(array.shape, full_dims(spec, batched)):
        raise TypeError(f"output '{spec.name}' is {array.dtype}{list(array.shape)}, not {spec}")
    return array


def make_response(
    pb: Any, contract: ModelContract, outputs: Outputs, wanted: Collection[str]
) -> Any:
    """A response whose tensors are checked against the contract; decoupled ones may be partial.

    Only outputs named in `wanted` go in: those that the client did not ask for, Triton 2.51 drops
    from a stream's responses without Python's lock, and damages memory (docs/decisions/0018).

    A batched, decoupled contract is served a row at a time: its batch dimension is put on here,
    except on `text_output`, which the clients of NVIDIA's contract (facts: langchain-nvidia-trt)
    read as one-dimensional.
    """
    specs = {spec.name: spec for spec in contract.outputs}
    wrong = outputs.keys() - specs.keys() or (
        not contract.decoupled and specs.keys() - outputs.keys()
    )
    if wrong:
        raise TypeError(f"outputs of '{contract.name}' differ from its contract: {sorted(wrong)}")
    splits_rows = contract.batched and contract.decoupled
    tensors = []
    for name, value in outputs.items():
        array = to_array(specs[name], value, contract.batched and not splits_rows)
        if name not in wanted:
            continue
        is_row = splits_rows and name != "text_output"
        tensors.append(pb.Tensor(name, array[None] if is_row else array))
    return pb.InferenceResponse(tensors)


def make_error(pb: Any, error: Exception, in_band: bool = False) -> Any:
    """The error as its audience may read it: client faults verbatim, ours as one sentence."""
    if isinstance(error, RequestError):
        code, message = error.code, str(error)
    else:
        logger.error("%s", "".join(traceback.format_exception(error)))
        code, message = "INTERNAL", "the model failed on this request; see the server's log"
    if in_band:
        message = f"{code}: {message}"
    return pb.TritonError(message, getattr(pb.TritonError, code))
