"""Which engines a command is about: each spec with the recipe that the SKU has for it."""

import argparse
from dataclasses import dataclass

from builders.engine import Engine, Recipe, recipe_for
from builders.gpu_machine import check_build_machine, seen_by_cuda
from builders.gpu_recipes import llm_recipe, planned_source, write_backend_repository
from builders.planner.cli import check_llm_options, llm_plan
from builders.planner.llm_plan import LlmPlan
from builders.spec import ModelSpec, Sku, chosen_models


@dataclass(frozen=True)
class EngineOrder:
    """One engine to make; `plan` is there for LLMs on GPUs."""

    spec: ModelSpec
    recipe: Recipe
    plan: LlmPlan | None = None

    def finish(self, engine: Engine) -> None:
        """What is written beside a published engine, from the plan as it is now."""
        if self.plan and self.plan.engine.flavour == "engine":
            write_backend_repository(self.plan, engine.folder)


def orders(sku: Sku, options: argparse.Namespace, on_this_machine: bool) -> list[EngineOrder]:
    """For the pipeline's specs and those of `--models`; LLMs on GPUs are planned first.

    `on_this_machine`: they are to be made here, so its GPUs must be the SKU's. Raises `BuildError`.
    """
    check_llm_options(sku, options)
    specs = chosen_models([name for name in options.models.split(",") if name], sku)
    encoders = tuple(spec for spec in specs if spec.role != "llm")
    return [
        _gpu_llm(sku, spec, encoders, options, on_this_machine)
        if spec.role == "llm" and sku.gpu
        else EngineOrder(spec, recipe_for(spec, sku))
        for spec in specs
    ]


def _gpu_llm(
    sku: Sku,
    spec: ModelSpec,
    encoders: tuple[ModelSpec, ...],
    options: argparse.Namespace,
    on_this_machine: bool,
) -> EngineOrder:
    plan = llm_plan(sku, spec, encoders, options)
    product = ""
    if on_this_machine:
        gpus = plan.candidate.gpus
        product = seen_by_cuda(sku, check_build_machine(sku, gpus), gpus)[0].name
    return EngineOrder(planned_source(plan), llm_recipe(plan, product), plan)
