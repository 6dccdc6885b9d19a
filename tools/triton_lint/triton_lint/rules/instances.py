"""Instance groups and metric tags."""

import re
from collections.abc import Iterator

from triton_lint.config_tree import Message
from triton_lint.findings import Problem
from triton_lint.models import Model
from triton_lint.repository import Repository
from triton_lint.rule import ERROR, WARNING, check

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
            for node in group.nodes("gpus"):
                text = f"gpus are given, and {why}"
                yield Problem(node.at, text)


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


@check("TRN423", ERROR)
def _metric_tags(model: Model, _: Repository) -> Iterator[Problem]:
    for entry in model.config.entries("metric_tags"):
        if not re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9_]*)?", str(entry.key)):
            yield Problem(
                entry.node.at,
                f"metric tag '{entry.key}' makes no Prometheus label (letters and digits, then "
                "also _): the server ends with an exception",
            )
