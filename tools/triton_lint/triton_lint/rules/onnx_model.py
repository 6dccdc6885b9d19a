"""A configuration against the inputs and outputs that its ONNX file declares.

Follows ValidateInputs and ValidateOutputs of triton-inference-server/onnxruntime_backend. Sizes
that the file leaves open may be known to ONNX Runtime all the same: they are not compared.
"""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.onnx_file import OnnxGraph, OnnxTensor
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.spelling import did_you_mean


def _sides(graph: OnnxGraph) -> dict[str, tuple[OnnxTensor, ...]]:
    return {"input": graph.inputs, "output": graph.outputs}


def _pairs(model: Model) -> Iterator[tuple[str, Message, OnnxTensor]]:
    """Each configured tensor with the file's of that name."""
    for side, tensors in _sides(model.onnx).items() if model.onnx else ():
        known = {tensor.name: tensor for tensor in tensors}
        for each in model.config.children(side):
            if each.text("name") in known:
                yield side, each, known[each.text("name")]


@check("TRN441", ERROR)
def _names(model: Model, _: Repository) -> Iterator[Problem]:
    graph = model.onnx
    for side, tensors in _sides(graph).items() if graph else ():
        known = [tensor.name for tensor in tensors]
        allowed = {*known, *(graph.initializers if graph and side == "input" else ())}
        for each in model.config.children(side):
            name = each.text("name")
            if name and name not in allowed:
                hint = did_you_mean(name, known) or f": {', '.join(known)}"
                yield Problem(model.at(each, "name"), f"the ONNX file has no {side} '{name}'{hint}")
    special = "sequence_batching" in model.config or "batch_input" in model.config
    if graph and "input" in model.config and not special:
        given = [each.text("name") for each in model.config.children("input")]
        missing = [tensor.name for tensor in graph.inputs if tensor.name not in given]
        if missing:
            text = f"the ONNX file has the inputs {', '.join(missing)} too"
            yield Problem(model.config.children("input")[0].at, text)


@check("TRN442", ERROR)
def _types(model: Model, _: Repository) -> Iterator[Problem]:
    for side, each, tensor in _pairs(model):
        kind = each.text("data_type")
        if kind and tensor.data_type and kind != tensor.data_type:
            text = f"{side} '{tensor.name}' is {tensor.data_type} in the ONNX file, not {kind}"
            yield Problem(model.at(each, "data_type"), text)


@check("TRN443", ERROR)
def _shapes(model: Model, _: Repository) -> Iterator[Problem]:
    for side, each, tensor in _pairs(model):
        reshape = each.child("reshape")
        dims = reshape.numbers("shape") if reshape else each.numbers("dims")
        if (
            (side == "input" and each.flag("allow_ragged_batch"))
            or not tensor.dims
            or "dims" not in each
        ):
            continue
        full = [-1, *dims] if model.max_batch_size > 0 else dims
        same = len(full) == len(tensor.dims) and all(
            size in (-1, wanted) for size, wanted in zip(tensor.dims, full, strict=True)
        )
        if not same and "batch_output" not in model.config:
            batch = ", the batch in front," if model.max_batch_size > 0 else ""
            text = f"{side} '{tensor.name}' has shape {list(tensor.dims)} in the ONNX file; with "
            yield Problem(model.at(each, "dims"), f"{text}these dims{batch} it is {full}")


@check("TRN444", ERROR)
def _batching(model: Model, _: Repository) -> Iterator[Problem]:
    if model.onnx is None or model.max_batch_size <= 0:
        return
    for side, tensors in _sides(model.onnx).items():
        for tensor in tensors if side not in model.config else ():
            if tensor.dims is not None and (not tensor.dims or tensor.dims[0] != -1):
                text = f"{side} '{tensor.name}' of the ONNX file has shape {list(tensor.dims)}: "
                text += "without a first size that varies, max_batch_size has to be 0"
                yield Problem(model.at(model.config, "max_batch_size"), text)


@check("TRN445", ERROR)
def _optional(model: Model, _: Repository) -> Iterator[Problem]:
    for each in model.config.children("input") if model.backend == "onnxruntime" else []:
        if each.flag("optional") and model.max_batch_size > 0:
            text = (
                f"'{each.text('name')}': ONNX Runtime's backend has no optional inputs in batches"
            )
            yield Problem(model.at(each, "optional"), text)
