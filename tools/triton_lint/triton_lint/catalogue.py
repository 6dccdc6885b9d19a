"""All rules."""

from triton_lint.rule import Rule
from triton_lint.rules import (
    engine_folder,
    ensemble,
    ensemble_models,
    files,
    identity,
    instances,
    onnx_model,
    optimization,
    python_completion,
    python_model,
    python_tensors,
    reading,
    regrets,
    regrets_ensemble,
    scheduling,
    sequence,
    tensors,
)

RULES: tuple[Rule, ...] = (
    *reading.RULES,
    *identity.RULES,
    *files.RULES,
    *tensors.RULES,
    *scheduling.RULES,
    *sequence.RULES,
    *instances.RULES,
    *optimization.RULES,
    *onnx_model.RULES,
    *ensemble.RULES,
    *ensemble_models.RULES,
    *regrets.RULES,
    *engine_folder.RULES,
    *regrets_ensemble.RULES,
    *python_model.RULES,
    *python_tensors.RULES,
    *python_completion.RULES,
)

BY_ID = {rule.id: rule for rule in RULES}
