"""A configuration against the inputs and outputs that its ONNX file declares.

Follows ValidateInputs and ValidateOutputs of triton-inference-server/onnxruntime_backend. Sizes
that the file leaves open may be known to ONNX Runtime all the same: they are not compared.
"""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.onnx_file import FileTensor
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, check
from triton_lint.spelling import did_you_mean


def _sides(model: Model) -> Iterator[tuple[str, tuple[FileTensor, ...]]]:
    for file in model.model_files:
        yield "input", file.inputs
        yield "output", file.outputs


def _pairs(model: Model) -> Iterator[tuple[str, Message, FileTensor]]:
    """Each configured tensor with the file's of that name."""
    for side, tensors in _sides(model):
        known = {tensor.name: tensor for tensor in tensors}
        for each in model.config.children(side):
            if each.text("name") in known:
                yield side, each, known[each.text("name")]


@check("TRN441", ERROR)
def _names(model: Model, _: Repository) -> Iterator[Problem]:
    for side, tensors in _sides(model):
        known = [tensor.name for tensor in tensors]
        allowed = frozenset(known).union(*(file.others for file in model.model_files))
        for each in model.config.children(side):
            name = each.text("name")
            if name and name not in allowed:
                hint = did_you_mean(name, known) or f": {', '.join(known)}"
                text = f"the model file has no {side} '{name}'{hint}"
                yield Problem(model.at(each, "name"), text)
    special = "sequence_batching" in model.config or "batch_input" in model.config
    for file in model.model_files if "input" in model.config and not special else ():
        given = [each.text("name") for each in model.config.children("input")]
        missing = [tensor.name for tensor in file.inputs if tensor.name not in given]
        if missing:
            text = f"the model file has the inputs {', '.join(missing)} too"
            yield Problem(model.config.children("input")[0].at, text)


@check("TRN442", ERROR)
def _types(model: Model, _: Repository) -> Iterator[Problem]:
    for side, each, tensor in _pairs(model):
        kind = each.text("data_type")
        if kind and tensor.data_type and kind != tensor.data_type:
            text = f"{side} '{tensor.name}' is {tensor.data_type} in the model file, not {kind}"
            yield Problem(model.at(each, "data_type"), text)


@check("TRN443", ERROR)
def _shapes(model: Model, _: Repository) -> Iterator[Problem]:
    if any(entry.key == "RESHAPE_IO_LAYERS" for entry in model.config.entries("parameters")):
        return  # OpenVINO's backend then gives the model these shapes
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
            text = f"{side} '{tensor.name}' has shape {list(tensor.dims)} in the model file; with "
            yield Problem(model.at(each, "dims"), f"{text}these dims{batch} it is {full}")


@check("TRN444", ERROR)
def _batching(model: Model, _: Repository) -> Iterator[Problem]:
    is_onnx = model.backend == "onnxruntime"
    for side, tensors in _sides(model) if is_onnx and model.max_batch_size > 0 else ():
        for tensor in tensors if side not in model.config else ():
            if tensor.dims is not None and (not tensor.dims or tensor.dims[0] != -1):
                text = f"{side} '{tensor.name}' of the model file has shape {list(tensor.dims)}: "
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
