"""Inputs and outputs."""

from collections.abc import Iterator

from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.nodes import Message
from triton_lint.rule import ERROR, WARNING, Example, Repository, Rule
from triton_lint.shapes import reshape_fault
from triton_lint.spelling import did_you_mean

_SIDES = ("input", "output")
_NO_COMPLETION = (
    "Backends that know their tensors complete what is missing; Python models without "
    "auto_complete_config, ensembles, and any model under --disable-auto-complete-config do not."
)


def _tensors(model: Model) -> Iterator[tuple[str, Message]]:
    for side in _SIDES:
        for tensor in model.config.children(side):
            yield f"{side} '{tensor.text('name')}'" if tensor.text("name") else side, tensor


def _no_name(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        if not tensor.text("name"):
            yield Problem(tensor.at, f"this {label} has no name")


def _no_type(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if tensor.text("data_type") in ("", "TYPE_INVALID"):
            yield Problem(model.at(tensor, "data_type"), f"{label} has no data_type")


def _no_dims(model: Model, _: Repository) -> Iterator[Problem]:
    if model.may_complete:
        return
    for label, tensor in _tensors(model):
        if "dims" not in tensor:
            yield Problem(
                tensor.at, f"{label} has no dims: [ 1 ] for a scalar, -1 for a size that varies"
            )


def _bad_dims(model: Model, _: Repository) -> Iterator[Problem]:
    for label, tensor in _tensors(model):
        reshape = tensor.child("reshape")
        nodes = tensor.nodes("dims") + (reshape.nodes("shape") if reshape else [])
        for node in nodes:
            if isinstance(node.value, int) and node.value < 1 and node.value != -1:
                yield Problem(
                    node.value_at, f"{label}: size {node.value}; sizes are 1 or more, or -1"
                )


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


def _tensorrt_only(model: Model, _: Repository) -> Iterator[Problem]:
    if model.identity.platform == "tensorrt_plan":
        return
    for label, tensor in _tensors(model):
        for flag in ("is_shape_tensor", "is_non_linear_format_io"):
            if tensor.flag(flag):
                yield Problem(model.at(tensor, flag), f"{label}: {flag} is for TensorRT only")


def _non_linear(model: Model, _: Repository) -> Iterator[Problem]:
    if model.identity.platform != "tensorrt_plan":
        return
    for label, tensor in _tensors(model):
        if tensor.flag("is_non_linear_format_io") and _has_not_three(model, tensor):
            yield Problem(
                model.at(tensor, "is_non_linear_format_io"),
                f"{label}: is_non_linear_format_io needs 3 dims",
            )


def _twice(model: Model, _: Repository) -> Iterator[Problem]:
    for side in _SIDES:
        seen = set()
        for tensor in model.config.children(side):
            name = tensor.text("name")
            if name and name in seen:
                yield Problem(
                    model.at(tensor, "name"),
                    f"{side} '{name}' is declared before; the first counts",
                )
            seen.add(name)


def _ragged(model: Model, _: Repository) -> Iterator[Problem]:
    for tensor in model.config.children("input"):
        if tensor.flag("allow_ragged_batch") and model.max_batch_size == 0:
            yield Problem(
                model.at(tensor, "allow_ragged_batch"),
                f"input '{tensor.text('name')}' allows ragged batches, and max_batch_size is 0",
            )


def _batch_tensors(model: Model, _: Repository) -> Iterator[Problem]:
    for side in ("batch_input", "batch_output"):
        for message in model.config.children(side):
            sources = message.texts("source_input")
            if len(sources) != 1:
                yield Problem(
                    message.at, f"{side} takes exactly one source_input, not {len(sources)}"
                )
            if message.text("kind").lstrip("-").isdecimal():
                yield Problem(model.at(message, "kind"), f"{side} has no such kind")
            if side == "batch_input" and message.text("data_type") not in (
                "TYPE_INT32",
                "TYPE_FP32",
            ):
                yield Problem(
                    model.at(message, "data_type"), f"{side} is of TYPE_INT32 or TYPE_FP32"
                )


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


def _negative_batch(model: Model, _: Repository) -> Iterator[Problem]:
    if model.max_batch_size < 0:
        yield Problem(
            model.at(model.config, "max_batch_size"),
            f"max_batch_size is {model.max_batch_size}; 0 means that there is no batch dimension",
        )


def _no_tensors(model: Model, _: Repository) -> Iterator[Problem]:
    if model.backend != "pytorch" or model.may_complete:
        return
    for side in _SIDES:
        if side not in model.config:
            text = f"no {side} is declared, and PyTorch's backend completes none"
            yield Problem(model.at(model.config), text)


def _config(tensor: str, batch: int = 0) -> Example:
    return Example(
        f'backend: "onnxruntime"\nmax_batch_size: {batch}\ninput {{ {tensor} }}\n'
        'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
    )


_X = 'name: "x" data_type: TYPE_FP32'
_GOOD = _config(f"{_X} dims: [ 1 ]")
_BATCH = (
    'backend: "tensorrt"\nmax_batch_size: 8\n'
    'input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }\n'
    'output { name: "y" data_type: TYPE_FP32 dims: [ 1 ] }\n'
    'batch_input { kind: BATCH_ELEMENT_COUNT target_name: "n" '
)
_PLAN = {"model/1/model.plan": ""}

RULES = (
    Rule("TRN201", "a tensor without a name", ERROR, "Inputs and outputs are found by name.",
         _config("data_type: TYPE_FP32 dims: [ 1 ]"), _GOOD, _no_name, each_alone=True),
    Rule("TRN202", "a tensor without a type", ERROR, f"`data_type` is missing. {_NO_COMPLETION}",
         _config('name: "x" dims: [ 1 ]'), _GOOD, _no_type, each_alone=True),
    Rule("TRN203", "a tensor without dims", ERROR, f"`dims` is missing. {_NO_COMPLETION}",
         _config(_X), _GOOD, _no_dims, each_alone=True),
    Rule("TRN204", "a size of 0 or below -1", ERROR,
         "Sizes are 1 or more; -1 stands for any. This holds for `dims` and for `reshape`.",
         _config(f"{_X} dims: [ 0 ]"), _config(f"{_X} dims: [ -1 ]"), _bad_dims, each_alone=True),
    Rule("TRN205", "the reshape does not fit", ERROR,
         "`reshape` may not change the number of elements, and has to keep the sizes between "
         "variable ones. An empty shape needs batching and dims of one element.",
         _config(f"{_X} dims: [ 4 ] reshape {{ shape: [ 2, 3 ] }}"),
         _config(f"{_X} dims: [ 4 ] reshape {{ shape: [ 2, 2 ] }}"), _reshape, each_alone=True),
    Rule("TRN206", "an image format without 3 dims", ERROR,
         "FORMAT_NHWC and FORMAT_NCHW describe one image: height, width, channels.",
         _config(f"{_X} dims: [ 224, 224 ] format: FORMAT_NHWC"),
         _config(f"{_X} dims: [ 224, 224, 3 ] format: FORMAT_NHWC"), _format, each_alone=True),
    Rule("TRN207", "a TensorRT setting on another backend", ERROR,
         "Shape tensors and non-linear formats exist in TensorRT plans only.",
         _config(f"{_X} dims: [ 1 ] is_shape_tensor: true"), _GOOD, _tensorrt_only,
         each_alone=True),
    Rule("TRN208", "a non-linear format without 3 dims", ERROR,
         "`is_non_linear_format_io` needs 3 dims (since 24.08).",
         Example('backend: "tensorrt"\ninput { name: "x" data_type: TYPE_FP16 dims: [ 16 ] '
                 'is_non_linear_format_io: true }\n'
                 'output { name: "y" data_type: TYPE_FP16 dims: [ 16 ] }\n', _PLAN),
         Example('backend: "tensorrt"\ninput { name: "x" data_type: TYPE_FP16 dims: [ 16, 2, 2 ] '
                 'is_non_linear_format_io: true }\n'
                 'output { name: "y" data_type: TYPE_FP16 dims: [ 16 ] }\n', _PLAN), _non_linear,
         each_alone=True),
    Rule("TRN209", "a tensor is declared twice", WARNING,
         "Of two inputs or outputs with one name Triton keeps the first, silently.",
         _config(f"{_X} dims: [ 1 ] }} input {{ {_X} dims: [ 2 ]"), _GOOD, _twice),
    Rule("TRN210", "ragged batches without batching", WARNING,
         "`allow_ragged_batch` has no effect when `max_batch_size` is 0.",
         _config(f"{_X} dims: [ -1 ] allow_ragged_batch: true"),
         _config(f"{_X} dims: [ -1 ] allow_ragged_batch: true", 8), _ragged, each_alone=True),
    Rule("TRN211", "a batch tensor of the wrong form", ERROR,
         "Each `batch_input` and `batch_output` is made from exactly one input; batch inputs are "
         "of TYPE_INT32 or TYPE_FP32.",
         Example(_BATCH + "data_type: TYPE_INT32 }\n", _PLAN),
         Example(_BATCH + 'data_type: TYPE_INT32 source_input: "x" }\n', _PLAN), _batch_tensors),
    Rule("TRN212", "a batch tensor of an unknown tensor", ERROR,
         "Sources are declared inputs, targets are declared outputs, each once.",
         Example(_BATCH + 'data_type: TYPE_INT32 source_input: "z" }\n', _PLAN),
         Example(_BATCH + 'data_type: TYPE_INT32 source_input: "x" }\n', _PLAN), _batch_names),
    Rule("TRN213", "max_batch_size is negative", ERROR,
         "0 turns batching off: then the dims are the whole shape.",
         _config(f"{_X} dims: [ 1 ]", -1), _GOOD, _negative_batch),
    Rule("TRN214", "a PyTorch model without inputs or outputs", ERROR,
         "TorchScript and AOTInductor files don't name their tensors for Triton: the configuration "
         "has to, inputs and outputs both.",
         Example('backend: "pytorch"\nmax_batch_size: 8\n'),
         Example('backend: "pytorch"\ninput { name: "INPUT__0" data_type: TYPE_FP32 dims: [ 3 ] }\n'
                 'output { name: "OUTPUT__0" data_type: TYPE_FP32 dims: [ 3 ] }\n'), _no_tensors,
         "source: pytorch_backend (r24.10 and main); NVIDIA's cases of it agree"),
)  # fmt: skip
