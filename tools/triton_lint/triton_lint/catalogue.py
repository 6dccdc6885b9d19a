"""All rules."""

from collections.abc import Iterator

from triton_lint.rule import Rule
from triton_lint.rules import (
    engine_folder,
    ensemble,
    ensemble_models,
    ensemble_risks,
    files,
    instances,
    names,
    onnx_model,
    optimization,
    python_completion,
    python_model,
    python_tensors,
    risks,
    scheduling,
    sequence,
    tensors,
    text_format,
)

_MODULES = (
    engine_folder, ensemble, ensemble_models, ensemble_risks, files, instances, names, onnx_model,
    optimization, python_completion, python_model, python_tensors, risks, scheduling, sequence,
    tensors, text_format,
)  # fmt: skip


def _rules() -> Iterator[Rule]:
    """Rules made by `@check`, and those that are found while files and folders are read."""
    for module in _MODULES:
        yield from (each for each in vars(module).values() if isinstance(each, Rule))
    yield from text_format.READING_RULES
    yield from files.FOLDER_RULES


RULES = tuple(sorted(_rules(), key=lambda rule: rule.id))

BY_ID = {rule.id: rule for rule in RULES}

OPINIONS = frozenset(rule.id for rule in RULES if rule.is_opinion)
"""Rules that are reported only when they are asked for."""
