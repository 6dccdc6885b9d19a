"""How the engines of GPU SKUs are made. An LLM's must be built on its own kind of GPU; none of this
was run on a GPU yet."""

import shutil
from functools import partial
from pathlib import Path

from builders.build_steps import BuildSteps
from builders.checkpoint import Checkpoint
from builders.converted import link_or_copy
from builders.planner.llm_plan import LlmPlan
from builders.recipe import Recipe
from builders.spec import ModelSpec
from builders.tensorrt_llm import build_commands
from builders.tensorrt_llm.backend_config import BACKEND_MODEL, engine_config_text
from builders.tensorrt_llm.build_commands import EXAMPLES, Command
from builders.tensorrt_llm.llm_api import check_checkpoint, model_yaml
from builders.tensorrt_llm.support import refuse

CHECKPOINT = "checkpoint"
"""Folder of an LLM API engine that holds the checkpoint."""

BACKEND_REPOSITORY = "triton"
"""Folder of a TensorRT engine that is a model repository of its own: NVIDIA's backend model."""

UNGUIDED = "guided_decoding is false under [gpu] in its spec"


def llm_recipe(plan: LlmPlan, gpu: str, examples: Path = EXAMPLES) -> Recipe:
    """The recipe of the plan's flavour, made on `gpu`; `examples` has TensorRT-LLM's converters."""
    unguided = "" if plan.runtime.guided_decoding else UNGUIDED
    if plan.engine.flavour == "engine":
        make = partial(_make_engine, plan, examples)
        return Recipe("tensorrtllm-backend", (), make, plan.engine, gpu, unguided=unguided)
    make = partial(_make_api_folder, plan)
    return Recipe(
        "tensorrt-llm", (), make, plan.engine, gpu, runtime=plan.runtime, unguided=unguided
    )


def planned_source(plan: LlmPlan) -> ModelSpec:
    """The spec with the checkpoint in the planned precision as its source. Raises `BuildError`."""
    spec, precision = plan.request.spec, plan.engine.precision
    if plan.engine.flavour == "engine" or precision == "bf16":
        return spec
    source = spec.gpu.checkpoints.get(precision)
    if source is None:
        named = ", ".join(spec.gpu.checkpoints) or "none"
        raise spec.error(
            "the LLM API takes its precision from the checkpoint, and "
            f"builders/models/{spec.name}.toml names none in {precision} under [gpu.checkpoints] "
            f"(named: {named}); possible: add one, choose --precision, or --flavour engine"
        )
    return spec.model_copy(update={"source": source})


def _make_engine(
    plan: LlmPlan, examples: Path, spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps
) -> Path:
    architecture, engine, source = (
        build_commands.read_architecture(checkpoint),
        plan.engine,
        checkpoint.path,
    )
    refuse(engine, architecture)

    def convert(to: Path) -> Command:
        return build_commands.checkpoint_command(engine, architecture, source, to, examples)

    def build(to: Path) -> list[Command]:
        commands = [build_commands.engine_command(engine, steps.folder / "convert", to)]
        if plan.runtime.guided_decoding:
            commands.append(build_commands.tokenizer_info_command(source, to, examples))
        return commands

    build_commands.check_programs([convert(steps.folder), *build(steps.folder)])
    steps.step("convert", lambda to: _run(steps, [convert(to)]))
    return steps.step("build", lambda to: _run(steps, build(to)))


def _run(steps: BuildSteps, commands: list[Command]) -> None:
    for command in commands:
        steps.progress(f"{command.what} …")
        steps.log.run(command.argv, {})


def _make_api_folder(
    plan: LlmPlan, spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps
) -> Path:
    """A folder with the checkpoint and TensorRT-LLM's arguments for it; nothing is compiled."""
    check_checkpoint(plan.engine, checkpoint)
    arguments = model_yaml(plan.engine, plan.runtime, CHECKPOINT)

    def fill(to: Path) -> None:
        (to / "model.yaml").write_text(arguments, encoding="utf-8")
        shutil.copytree(checkpoint.path, to / CHECKPOINT, copy_function=link_or_copy)

    return steps.step("checkpoint", fill)


def write_backend_repository(plan: LlmPlan, engine: Path) -> Path:
    """Write a model repository for a TensorRT engine, on which none of the engine's bytes depend;
    returns its folder."""
    model = engine / BACKEND_REPOSITORY / BACKEND_MODEL
    (model / "1").mkdir(parents=True, exist_ok=True)
    text = engine_config_text(plan.engine, plan.runtime, engine.resolve())
    (model / "config.pbtxt").write_text(text, encoding="utf-8")
    return model.parent
