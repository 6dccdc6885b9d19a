"""Inputs and outputs."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.rules.common import repeated
from triton_lint.shapes import reshape_fault
from triton_lint.spelling import did_you_mean

_SIDES = ("input", "output")


def _tensors(model: Model) -> Iterator[tuple[str, Message]]:
    for side in _SIDES:
        for tensor in model.config.children(side):
            yield f"{side} '{tensor.text('name')}'" if tensor.text("name") else side, tensor


@check("TRN201", ERROR, each_alone=True)
def _no_name(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        if not tensor.text("name"):
            yield Problem(tensor.at, f"this {label} has no name")


@check("TRN202", ERROR, each_alone=True)
def _no_type(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if tensor.text("data_type") in ("", "TYPE_INVALID"):
            yield Problem(model.at(tensor, "data_type"), f"{label} has no data_type")


@check("TRN203", ERROR, each_alone=True)
def _no_dims(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if "dims" not in tensor:
            text = f"{label} has no dims: [ 1 ] for a scalar, -1 for a size that varies"
            yield Problem(tensor.at, text)


@check("TRN204", ERROR, each_alone=True)
def _bad_dims(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        reshape = tensor.child("reshape")
        nodes = tensor.nodes("dims") + (reshape.nodes("shape") if reshape else [])
        for node in nodes:
            if isinstance(node.value, int) and node.value < 1 and node.value != -1:
                text = f"{label}: size {node.value}; sizes are 1 or more, or -1"
                yield Problem(node.value_at, text)


@check("TRN205", ERROR, each_alone=True)
def _reshape(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        reshape = tensor.child("reshape")
        if reshape is None or "dims" not in tensor:
            continue
        shape = reshape.numbers("shape")
        if not shape and model.max_batch_size == 0:
            text = "an empty reshape needs a batch dimension, and max_batch_size is 0"
            yield Problem(model.at(tensor, "reshape"), f"{label}: {text}")
        elif fault := reshape_fault(tensor.numbers("dims"), shape):
            yield Problem(model.at(tensor, "reshape"), f"{label}: {fault}")


def _has_not_three(model: Model, tensor: Message) -> bool:
    """Whether the number of dims is known, and is not 3."""
    known = "dims" in tensor or not model.may_complete
    return known and len(tensor.nodes("dims")) != 3


@check("TRN206", ERROR, each_alone=True)
def _format(model: Model, _: Repository) -> Iterator[Problem]:
    for tensor in model.config.children("input"):
        wanted = tensor.text("format")
        is_image = wanted in ("FORMAT_NHWC", "FORMAT_NCHW")
        if is_image and _has_not_three(model, tensor):
            yield Problem(
                model.at(tensor, "format"),
                f"{wanted} needs 3 dims (the batch is not one of them), not "
                f"{len(tensor.nodes('dims'))}",
            )


@check("TRN207", ERROR, each_alone=True)
def _tensorrt_only(model: Model, _: Repository) -> Iterator[Problem]:
    if model.names.platform == "tensorrt_plan":
        return
    for label, tensor in _tensors(model):
        for flag in ("is_shape_tensor", "is_non_linear_format_io"):
            if tensor.flag(flag):
                yield Problem(model.at(tensor, flag), f"{label}: {flag} is for TensorRT only")


@check("TRN208", ERROR, each_alone=True)
def _non_linear(model: Model, _: Repository) -> Iterator[Problem]:
    if model.names.platform != "tensorrt_plan":
        return
    for label, tensor in _tensors(model):
        if tensor.flag("is_non_linear_format_io") and _has_not_three(model, tensor):
            text = f"{label}: is_non_linear_format_io needs 3 dims"
            yield Problem(model.at(tensor, "is_non_linear_format_io"), text)


@check("TRN209", WARNING)
def _twice(model: Model, _: Repository) -> Iterator[Problem]:
    for side in _SIDES:
        tensors = [each for each in model.config.children(side) if each.text("name")]
        for tensor, name in repeated(tensors, lambda each: each.text("name")):
            text = f"{side} '{name}' is declared before; the first counts"
            yield Problem(model.at(tensor, "name"), text)


@check("TRN210", WARNING, each_alone=True)
def _ragged(model: Model, _: Repository) -> Iterator[Problem]:
    for tensor in model.config.children("input"):
        if tensor.flag("allow_ragged_batch") and model.max_batch_size == 0:
            text = f"input '{tensor.text('name')}' allows ragged batches, and max_batch_size is 0"
            yield Problem(model.at(tensor, "allow_ragged_batch"), text)


@check("TRN211", ERROR)
def _batch_tensors(model: Model, _: Repository) -> Iterator[Problem]:
    for side in ("batch_input", "batch_output"):
        for message in model.config.children(side):
            sources = message.texts("source_input")
            if len(sources) != 1:
                text = f"{side} takes exactly one source_input, not {len(sources)}"
                yield Problem(message.at, text)
            if message.text("kind").lstrip("-").isdecimal():
                yield Problem(model.at(message, "kind"), f"{side} has no such kind")
            if side == "batch_input" and message.text("data_type") not in (
                "TYPE_INT32",
                "TYPE_FP32",
            ):
                text = f"{side} is of TYPE_INT32 or TYPE_FP32"
                yield Problem(model.at(message, "data_type"), text)


@check("TRN212", ERROR)
def _batch_names(model: Model, _: Repository) -> Iterator[Problem]:
    if not model.tensors_are_final:
        return
    inputs = [tensor.text("name") for tensor in model.config.children("input")]
    outputs = [tensor.text("name") for tensor in model.config.children("output")]
    for side in ("batch_input", "batch_output"):
        for message in model.config.children(side):
            for node in message.nodes("source_input"):
                if node.value not in inputs:
                    hint = did_you_mean(str(node.value), inputs)
                    yield Problem(node.value_at, f"there is no input '{node.value}'{hint}")
    for message in model.config.children("batch_output"):
        targets = message.texts("target_name")
        for index, node in enumerate(message.nodes("target_name")):
            if node.value not in outputs:
                hint = did_you_mean(str(node.value), outputs)
                yield Problem(node.value_at, f"there is no output '{node.value}'{hint}")
            if node.value in targets[:index]:
                yield Problem(node.value_at, f"'{node.value}' is a target before")


@check("TRN213", ERROR)
def _negative_batch(model: Model, _: Repository) -> Iterator[Problem]:
    if model.max_batch_size < 0:
        text = f"max_batch_size is {model.max_batch_size}; 0 means that there is no batch dimension"
        yield Problem(model.at(model.config, "max_batch_size"), text)


@check("TRN214", ERROR)
def _no_tensors(model: Model, _: Repository) -> Iterator[Problem]:
    if model.backend != "pytorch" or model.may_complete:
        return
    for side in _SIDES:
        if side not in model.config:
            text = f"no {side} is declared, and PyTorch's backend completes none"
            yield Problem(model.at(model.config), text)
