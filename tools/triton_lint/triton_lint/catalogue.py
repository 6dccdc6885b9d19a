"""All rules."""

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

RULES: tuple[Rule, ...] = (
    *text_format.RULES,
    *names.RULES,
    *files.RULES,
    *tensors.RULES,
    *scheduling.RULES,
    *sequence.RULES,
    *instances.RULES,
    *optimization.RULES,
    *onnx_model.RULES,
    *ensemble.RULES,
    *ensemble_models.RULES,
    *risks.RULES,
    *engine_folder.RULES,
    *ensemble_risks.RULES,
    *python_model.RULES,
    *python_tensors.RULES,
    *python_completion.RULES,
)

BY_ID = {rule.id: rule for rule in RULES}
