"""Prints what would be built for a SKU, what to expect of it, and why."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from builders.errors import BuildError
from builders.models_in_use import chosen_models
from builders.planner.cpu_plan import CpuPlan, plan_cpu
from builders.planner.encoder_plan import EncoderPlan, plan_encoder
from builders.planner.llm_plan import LlmPlan
from builders.planner.options import LlmOptions, llm_plan
from builders.planner.own_architecture import with_architecture
from builders.planner.report import llm_json, llm_text
from builders.spec import ModelSpec, Sku, load_model

Plan = LlmPlan | EncoderPlan | CpuPlan


def show_plans(sku: Sku, model: str, models: list[str], options: LlmOptions, as_json: bool) -> bool:
    """Print a plan or a refusal for every model; whether none was refused.

    `model` is planned alone; otherwise the pipeline's specs are, with `models` in place of those
    of their roles.
    """
    options.check(sku)
    is_complete = True
    for spec, encoders in _chosen(sku, model, models):
        try:
            _show(_plan(sku, spec, encoders, options), as_json)
        except BuildError as error:
            is_complete = False
            _show_refusal(sku, spec, error, as_json)
    return is_complete


def _chosen(
    sku: Sku, model: str, models: list[str]
) -> Iterator[tuple[ModelSpec, tuple[ModelSpec, ...]]]:
    """Each spec to plan, with the encoders that share its GPU."""
    if model:
        yield load_model(model), ()
        return
    specs = chosen_models(models, sku)
    encoders = tuple(spec for spec in specs if spec.role != "llm")
    for spec in specs:
        yield spec, encoders if spec.role == "llm" else ()


def _plan(sku: Sku, spec: ModelSpec, encoders: tuple[ModelSpec, ...], options: LlmOptions) -> Plan:
    spec = with_architecture(spec)
    if sku.gpu is None:
        return plan_cpu(spec, sku)
    if spec.role != "llm":
        return plan_encoder(spec, sku)
    return llm_plan(sku, spec, encoders, options)


def _show(made: Plan, as_json: bool) -> None:
    if as_json:
        _print_json(llm_json(made) if isinstance(made, LlmPlan) else made.to_json())
    elif isinstance(made, LlmPlan):
        print("\n".join(llm_text(made)), end="\n\n")
    else:
        print(made.text(), end="\n\n")


def _show_refusal(sku: Sku, spec: ModelSpec, error: BuildError, as_json: bool) -> None:
    if as_json:
        _print_json({"sku": sku.name, "model": spec.name, "refused": str(error)})
    else:
        print(f"{spec.name} on {sku.name}: refused: {error}\n", file=sys.stderr)


def _print_json(values: dict[str, Any]) -> None:
    print(json.dumps(values, indent=2))
