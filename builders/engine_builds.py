"""The engines that a command is about, and their builds."""

from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from builders.engine import Engine, build_engine, recipe_for
from builders.errors import BuildError
from builders.gpu_machine import check_build_machine
from builders.gpu_recipes import llm_recipe, planned_source, write_backend_repository
from builders.models_in_use import chosen_models
from builders.planner.llm_plan import LlmOptions, LlmPlan, Request
from builders.planner.plan import plan_llm
from builders.recipe import Recipe
from builders.spec import ROOT, ModelSpec, Sku


@dataclass(frozen=True)
class EngineBuild:
    """One engine to build; `plan` is there for an LLM on a GPU SKU."""

    spec: ModelSpec
    recipe: Recipe
    plan: LlmPlan | None = None


def engine_builds(sku: Sku, models: list[str], options: LlmOptions) -> list[EngineBuild]:
    """Builds of the pipeline's specs, or of `models` for their roles. Raises `BuildError`."""
    specs = chosen_models(models, sku)
    encoders = tuple(spec for spec in specs if spec.role != "llm")
    return [
        _gpu_llm(plan_llm(Request(sku, spec, options, encoders)))
        if spec.role == "llm" and sku.gpu
        else EngineBuild(spec, recipe_for(spec, sku))
        for spec in specs
    ]


def _gpu_llm(plan: LlmPlan) -> EngineBuild:
    product = check_build_machine(plan.request.sku, plan.deployment.gpus)[0].name
    return EngineBuild(planned_source(plan), llm_recipe(plan, product), plan)


def build_all(builds: list[EngineBuild], sku: Sku) -> list[Engine]:
    """Build the engines one by one: an export uses every core. Raises `BuildError`."""
    try:
        engines = [
            build_one(build, sku, f"[{number}/{len(builds)}] {build.spec.role} {build.spec.name}")
            for number, build in enumerate(builds, 1)
        ]
    except KeyboardInterrupt as error:
        raise BuildError(
            "interrupted: what was finished is kept; the same command goes on from there"
        ) from error
    for build, engine in zip(builds, engines, strict=True):
        if build.plan and build.plan.engine.flavour == "engine":
            write_backend_repository(build.plan, engine.folder)
    return engines


def build_one(build: EngineBuild, sku: Sku, label: str) -> Engine:
    """Build one engine; prints what it does and, on a terminal, for how long already."""
    columns = (SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn())
    console = Console()
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_terminal
    ) as bar:
        bar.add_task(label)

        def say(text: str) -> None:
            console.print(f"{label}: {text}", markup=False, highlight=False, soft_wrap=True)

        engine = build_engine(build.spec, sku, say, build.recipe)
        how = f"made in {engine.seconds:.1f} s" if engine.seconds else "up to date"
        say(f"{how} ({engine.folder.relative_to(ROOT)})")
        return engine
