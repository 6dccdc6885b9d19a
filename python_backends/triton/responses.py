"""Tensors and errors between Triton and the stages; the contract decides what goes in and out.

Triton itself checks neither that a required input is there nor that an output is as declared.
"""

import json
import logging
import traceback
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from ensembles.contracts import ModelContract
from ensembles.graph import fits, full_dims
from ensembles.tensors import TensorSpec
from python_backends.errors import RequestError
from python_backends.tensors import NUMPY_TYPES, Array, Outputs, Tensors
from python_backends.triton.bls import IN_BAND_ERRORS

logger = logging.getLogger(__name__)


def read_inputs(pb: Any, contract: ModelContract, request: Any) -> Tensors:
    """The request's tensors.

    Raises `RequestError` for a required tensor that is missing, and for tensors that differ in a
    size that has one name in the contract.
    """
    values: dict[str, Array] = {}
    for spec in contract.inputs:
        found = pb.get_input_tensor_by_name(request, spec.name)
        if found is not None:
            values[spec.name] = found.as_numpy()
        elif not spec.optional:
            raise RequestError(f"input '{spec.name}' is missing ({spec})")
    _check_sizes(contract, values)
    return Tensors(values)


def _check_sizes(contract: ModelContract, values: Mapping[str, Array]) -> None:
    first: dict[str, tuple[str, int]] = {}
    for spec in contract.inputs:
        shape = values[spec.name].shape if spec.name in values else ()
        for dim, size in zip(reversed(spec.dims), reversed(shape), strict=False):  # rows come first
            other, expected = first.setdefault(str(dim), (spec.name, size))
            if size != expected and isinstance(dim, str):
                raise RequestError(f"{spec.name}: {size} {dim} given; {other} has {expected}")


def read_timeout_us(request: Any) -> int:
    """The deadline that the client asks for, 0 without one; raises `RequestError`.

    Triton 2.51's `/generate` leaves `timeout` among the parameters; gRPC and `infer` set it.
    """
    parameters = request.parameters() or ""
    if "timeout" not in parameters:  # most requests need no parsing
        return int(request.timeout())
    given = json.loads(parameters).get("timeout", request.timeout())
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise RequestError(f"timeout: {given!r} given; a whole number of microseconds is needed")
    return given


def refuse_timeout(request: Any) -> None:
    """Raises `RequestError` for a deadline that the model can't keep: none is ignored silently."""
    if timeout_us := read_timeout_us(request):
        raise RequestError(
            f"timeout: {timeout_us} us asked for; only llm, rag_cancellable, answer, "
            "ensemble and ensemble_unary keep a deadline, elsewhere the client must"
        )


def wants_in_band_errors(request: Any) -> bool:
    """Whether the caller is a model of the same server (see `IN_BAND_ERRORS`)."""
    return IN_BAND_ERRORS in (request.parameters() or "")


def _as_array(value: Array | Sequence[str]) -> Array:
    if isinstance(value, np.ndarray):
        return value
    return np.array([text.encode() for text in value], dtype=np.object_)


def to_array(spec: TensorSpec, value: Array | Sequence[str], batched: bool) -> Array:
    """The value with the contract's dtype and rank, as UTF-8 bytes for STRING.

    Raises TypeError for any other dtype or shape.
    """
    array = np.ascontiguousarray(_as_array(value))
    if array.dtype != NUMPY_TYPES[spec.dtype] or not fits(array.shape, full_dims(spec, batched)):
        raise TypeError(f"output '{spec.name}' is {array.dtype}{list(array.shape)}, not {spec}")
    return array


def make_response(
    pb: Any, contract: ModelContract, outputs: Outputs, wanted: Collection[str]
) -> Any:
    """A response with the outputs that the client asked for (`wanted`), checked by the contract.

    Triton 2.51 would drop unwanted outputs of a stream without Python's lock, which damages
    memory (docs/decisions/0018). A response of a decoupled model may lack outputs.

    A batched and decoupled contract is served one row at a time. Outputs get their batch dimension
    here, except `text_output`, which published clients of NVIDIA's contract read as
    one-dimensional.
    """
    specs = {spec.name: spec for spec in contract.outputs}
    required = {name for name, spec in specs.items() if not spec.optional}
    wrong = outputs.keys() - specs.keys() or (not contract.decoupled and required - outputs.keys())
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
    """The `TritonError` that the client gets: the message of a `RequestError`, else one neutral
    sentence and a traceback in the log."""
    if isinstance(error, RequestError):
        code, message = error.code, str(error)
    else:
        logger.error("%s", "".join(traceback.format_exception(error)))
        code, message = "INTERNAL", "the model failed on this request; see the server's log"
    if in_band:
        message = f"{code}: {message}"
    return pb.TritonError(message, getattr(pb.TritonError, code))
