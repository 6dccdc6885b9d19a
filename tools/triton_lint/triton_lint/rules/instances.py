"""Instance groups, warm-up, metrics, parameters of the Python backend."""

import re
from collections.abc import Iterator

from triton_lint.config_tree import Entry, Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.reading import exists
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check
from triton_lint.rules.common import data_file_problems
from triton_lint.shapes import BYTES_OF_TYPE, element_count, fits

MOST_WARMUP_BYTES = 2**40
"""More than any machine that Triton runs on has memory."""

MOST_GPUS = 32
"""More than any machine that Triton runs on has."""


def _groups(model: Model) -> Iterator[tuple[Message, str]]:
    if not model.is_ensemble:
        for group in model.config.children("instance_group"):
            yield group, group.text("kind") or "KIND_AUTO"


@check("TRN401", ERROR)
def _gpus_without_gpu(model: Model, repository: Repository) -> Iterator[Problem]:
    for group, kind in _groups(model):
        on_cpu = kind in ("KIND_CPU", "KIND_MODEL")
        if "gpus" in group and (on_cpu or (kind == "KIND_AUTO" and repository.options.gpus == 0)):
            why = kind if on_cpu else "the machine has no GPU"
            repair = "" if on_cpu else None
            for node in group.nodes("gpus"):
                text = f"gpus are given, and {why}"
                yield Problem(node.at, text, replacement=repair, is_safe=False)


@check("TRN402", ERROR)
def _gpu_number(model: Model, repository: Repository) -> Iterator[Problem]:
    most = repository.options.gpus if repository.options.gpus is not None else MOST_GPUS
    for group, kind in _groups(model):
        if kind == "KIND_GPU" and most == 0:
            yield Problem(model.at(group, "kind"), "KIND_GPU, and the machine has no GPU")
        elif kind == "KIND_GPU" and repository.options.model_config_name == "cpu":
            text = "KIND_GPU in the configuration 'cpu'; --gpus says how many GPUs there are"
            yield Problem(model.at(group, "kind"), text, severity=WARNING)
        elif kind == "KIND_GPU":
            for node in group.nodes("gpus"):
                if isinstance(node.value, int) and not 0 <= node.value < most:
                    yield Problem(node.value_at, f"there is no GPU {node.value}")


@check("TRN403", ERROR)
def _profiles(model: Model, _: Repository) -> Iterator[Problem]:
    for group, _kind in _groups(model):
        if "profile" not in group:
            continue
        if model.names.platform != "tensorrt_plan":
            yield Problem(model.at(group, "profile"), "only TensorRT models have profiles")
            continue
        for node in group.nodes("profile"):
            if not re.match(r"\s*(\+?[0-9]|-0+(?![0-9]))", str(node.value)):
                yield Problem(node.value_at, f"profile '{node.value}': it is a number from \"0\"")


def _warmups(model: Model) -> Iterator[Message]:
    """Samples that are run: those with a batch size."""
    if not model.is_ensemble:
        for sample in model.config.children("model_warmup"):
            if sample.number("batch_size"):
                yield sample


def _warmup_tensors(model: Model) -> Iterator[tuple[Entry, Message]]:
    for sample in _warmups(model):
        for entry in sample.entries("inputs"):
            if isinstance(entry.value, Message):
                yield entry, entry.value


@check("TRN411", ERROR)
def _warmup_data(model: Model, _: Repository) -> Iterator[Problem]:
    for entry, value in _warmup_tensors(model):
        if not any(name in value for name in ("zero_data", "random_data", "input_data_file")):
            text = f"warm-up of '{entry.key}' needs zero_data, random_data or input_data_file"
            yield Problem(entry.node.at, text)
        dims, kind = value.numbers("dims"), value.text("data_type")
        if any(size < 0 for size in dims):
            text = f"warm-up of '{entry.key}' has dims {dims}: sizes have to be given"
            yield Problem(model.at(value, "dims"), text)
        elif element_count(dims) * BYTES_OF_TYPE.get(kind, 4) > MOST_WARMUP_BYTES:
            text = f"warm-up of '{entry.key}' has dims {dims}: the server dies of the memory"
            yield Problem(model.at(value, "dims"), text)


@check("TRN412", ERROR)
def _warmup_shape(model: Model, _: Repository) -> Iterator[Problem]:
    inputs = {tensor.text("name"): tensor for tensor in model.tensors("input")}
    for entry, value in _warmup_tensors(model):
        tensor = inputs.get(str(entry.key))
        if tensor is None:
            continue
        kind, wanted = value.text("data_type") or "TYPE_INVALID", tensor.text("data_type")
        if wanted and kind != wanted:
            yield Problem(model.at(value, "data_type"), f"'{entry.key}' is {wanted}, not {kind}")
        dims, shape = value.numbers("dims"), tensor.numbers("dims")
        if "dims" in tensor and min(dims, default=0) >= 0 and not fits(dims, shape):
            text = f"'{entry.key}' has dims {shape} (the batch is not one of them), not {dims}"
            yield Problem(model.at(value, "dims"), text)


@check("TRN413", ERROR)
def _warmup_inputs(model: Model, _: Repository) -> Iterator[Problem]:
    if not model.tensors_are_final:
        return
    tensors = model.config.children("input")
    names = [tensor.text("name") for tensor in tensors]
    required = sum(not tensor.flag("optional") for tensor in tensors)
    for sample in _warmups(model):
        given = [str(entry.key) for entry in sample.entries("inputs") if entry.key in names]
        if len(given) < required:
            missing = [name for name in names if name not in given]
            yield Problem(sample.at, f"this warm-up lacks {', '.join(missing)}")


@check("TRN414", ERROR)
def _warmup_files(model: Model, _: Repository) -> Iterator[Problem]:
    for _entry, value in _warmup_tensors(model) if model.checks_files else ():
        if "input_data_file" in value:
            yield from data_file_problems(model, value, "input_data_file", "warmup")


@check("TRN421", ERROR)
def _metrics(model: Model, _: Repository) -> Iterator[Problem]:
    for control in model.config.child_or_empty("model_metrics").children("metric_control"):
        if not control.child_or_empty("metric_identifier").text("family"):
            yield Problem(control.at, "metric_control needs a metric_identifier with a family")
        if "buckets" not in control.child_or_empty("histogram_options"):
            yield Problem(control.at, "metric_control needs histogram_options with buckets")


@check("TRN423", ERROR)
def _metric_tags(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("metric_tags"):
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_]*)?", str(entry.key)):
            yield Problem(
                entry.node.at,
                f"metric tag '{entry.key}' makes no Prometheus label (letters and digits, then "
                "also _): the server ends with an exception",
            )


@check("TRN422", ERROR)
def _python_parameters(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("parameters") if model.backend == "python" else []:
        value = entry.value.text("string_value") if isinstance(entry.value, Message) else ""
        if entry.key == "FORCE_CPU_ONLY_INPUT_TENSORS" and value not in ("yes", "no"):
            yield Problem(entry.node.at, f'{entry.key} is "yes" or "no", not "{value}"')
        variable = "$$TRITON_MODEL_DIRECTORY"
        if entry.key == "EXECUTION_ENV_PATH" and value.startswith(f"{variable}/"):
            path = model.place.folder.path / value.removeprefix(f"{variable}/")
            if not exists(path) and model.checks_files and not model.place.is_tracked:
                yield Problem(entry.node.at, f"there is no {path.name} in {model.place.shown}")
