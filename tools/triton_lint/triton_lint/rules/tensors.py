"""Inputs and outputs."""

from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.rules.text_format import repeated

_SIDES = ("input", "output")


def _tensors(model: Model) -> Iterator[tuple[str, Message]]:
    for side in _SIDES:
        for tensor in model.config.children(side):
            yield f"{side} '{tensor.text('name')}'" if tensor.text("name") else side, tensor


@check("TRN202", ERROR)
def _no_type(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if tensor.text("data_type") in ("", "TYPE_INVALID"):
            yield Problem(model.at(tensor, "data_type"), f"{label} has no data_type")


@check("TRN203", ERROR)
def _no_dims(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if "dims" not in tensor:
            text = f"{label} has no dims: [ 1 ] for a scalar, -1 for a size that varies"
            yield Problem(tensor.at, text)


@check("TRN204", ERROR)
def _bad_dims(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        reshape = tensor.child("reshape")
        nodes = tensor.nodes("dims") + (reshape.nodes("shape") if reshape else [])
        for node in nodes:
            if isinstance(node.value, int) and node.value < 1 and node.value != -1:
                text = f"{label}: size {node.value}; sizes are 1 or more, or -1"
                yield Problem(node.value_at, text)


@check("TRN209", WARNING)
def _twice(model: Model, _: Repository) -> Iterator[Problem]:
    for side in _SIDES:
        tensors = [each for each in model.config.children(side) if each.text("name")]
        for tensor, name in repeated(tensors, lambda each: each.text("name")):
            text = f"{side} '{name}' is declared before; the first counts"
            yield Problem(model.at(tensor, "name"), text)


@check("TRN210", WARNING)
def _ragged(model: Model, _: Repository) -> Iterator[Problem]:
    for tensor in model.config.children("input"):
        if tensor.flag("allow_ragged_batch") and model.max_batch_size == 0:
            text = f"input '{tensor.text('name')}' allows ragged batches, and max_batch_size is 0"
            yield Problem(model.at(tensor, "allow_ragged_batch"), text)


@check("TRN214", ERROR)
def _no_tensors(model: Model, _: Repository) -> Iterator[Problem]:
    if model.backend != "pytorch" or model.may_complete:
        return
    for side in _SIDES:
        if side not in model.config:
            text = f"no {side} is declared, and PyTorch's backend completes none"
            yield Problem(model.at(model.config), text)
