"""Engines: built once per content, published whole or not at all."""

import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders import build_lock, resources
from builders.build_log import BuildLog
from builders.build_steps import BuildSteps, Progress
from builders.checkpoint import Checkpoint, open_checkpoint
from builders.engine_plan import EnginePlan, RuntimePlan
from builders.onnx_export import EncoderPrecision, encoder_precision, export_encoder
from builders.spec import ROOT, ModelSpec, Precision, Sku
from ensembles.manifest import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    Manifest,
    ManifestError,
    read_manifest,
    sha256,
)

ENGINES = ROOT / "build" / "engines"
WORK = ROOT / "build" / "work"
LOGS = ROOT / "build" / "logs"

UNFINISHED = ".making-"
"""Begins the names of folders in a model's home that whoever holds its lock may remove."""

_TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
_FORMAT = 2
"""Part of every key: raise it when this code makes different bytes from the same input."""


@dataclass(frozen=True)
class Recipe:
    """How a kind of engine is made. `make` gives the folder that its last step filled.

    `tools` are packages whose versions decide the bytes. `precision` is the spec's unless it is
    named here. `plan` and `gpu`, the product that it is made on, are of GPU engines; `runtime` of
    those that hold their settings.
    """

    engine: str
    tools: tuple[str, ...]
    make: Callable[[ModelSpec, Checkpoint, BuildSteps], Path]
    plan: EnginePlan | None = None
    gpu: str = ""
    precision: str = ""
    runtime: RuntimePlan | None = None

    def versions(self) -> dict[str, str]:
        """Versions of the installed tools, and of what the plan pins."""
        installed = {tool: version(tool) for tool in self.tools}
        return installed | ({"tensorrt_llm": self.plan.tensorrt_llm} if self.plan else {})


def _make_onnx(
    precision: EncoderPrecision, spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps
) -> Path:
    def export(to: Path) -> None:
        export_encoder(spec, checkpoint, to / "model.onnx", precision)

    return steps.step("export", export)


OPENVINO_WEIGHT_FORMATS: dict[Precision, str] = {
    "fp32": "fp32",
    "bf16": "fp16",
    "int8": "int8",
    "int4": "int4",
}
"""optimum-intel's names; weights stored as fp16 are computed in bf16 where the CPU has it."""


def _make_openvino(spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps) -> Path:
    def export(to: Path) -> None:
        weight_format = OPENVINO_WEIGHT_FORMATS[spec.precision]
        command = [
            str(Path(sys.executable).parent / "optimum-cli"),
            *("export", "openvino", "--task", "text-generation-with-past"),
            *("--model", str(checkpoint.path), "--weight-format", weight_format),
            *("--disable-convert-tokenizer", str(to)),
        ]
        steps.log.run(command, {"HF_HUB_OFFLINE": "1"})

    return steps.step("export", export)


ONNX = Recipe("onnx", ("torch", "transformers"), partial(_make_onnx, "fp32"))
ONNX_FP16 = Recipe("onnx", ("torch", "transformers"), partial(_make_onnx, "fp16"), precision="fp16")
OPENVINO = Recipe("openvino", ("optimum-intel", "openvino", "transformers"), _make_openvino)


def recipe_for(spec: ModelSpec, sku: Sku) -> Recipe:
    """How to make an engine that needs no GPU for it: encoders for every SKU, LLMs for `cpu`."""
    if spec.role == "llm":
        return OPENVINO
    return ONNX_FP16 if encoder_precision(sku) == "fp16" else ONNX


@dataclass(frozen=True)
class Engine:
    """A published engine folder, and the seconds that making it took (0.0: it was there)."""

    spec: ModelSpec
    folder: Path
    seconds: float


def engine_inputs(
    spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, recipe: Recipe | None = None
) -> dict[str, Any]:
    """Everything that decides the engine's bytes and its manifest.

    Of a spec: not where its checkpoint lies, nor what only the planner reads.
    """
    recipe = recipe or recipe_for(spec, sku)
    inputs = {
        "format": _FORMAT,
        "spec": spec.model_dump(exclude={"source", "architecture", "gpu"}),
        "sku": sku.name,
        "checkpoint": checkpoint.sha256,
        "tools": recipe.versions(),
    }
    own = {
        "precision": recipe.precision,
        "plan": recipe.plan and recipe.plan.to_json(),
        "runtime": recipe.runtime and vars(recipe.runtime),
    }
    return inputs | {name: value for name, value in own.items() if value}


def key_of(inputs: dict[str, Any]) -> str:
    """The name of an engine's folder: a hash of its inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def engine_key(
    spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, recipe: Recipe | None = None
) -> str:
    """Key of the engine that a build would make."""
    return key_of(engine_inputs(spec, sku, checkpoint, recipe))


def published(folder: Path) -> Manifest:
    """The manifest of a finished engine; raises `ManifestError` when it can't be used."""
    manifest = read_manifest(folder)
    if missing := [name for name in manifest.files if not (folder / name).is_file()]:
        raise ManifestError(f"{folder} lacks {', '.join(missing)}: run 'make build-engines'")
    return manifest


def build_engine(
    spec: ModelSpec,
    sku: Sku,
    progress: Progress,
    recipe: Recipe | None = None,
) -> Engine:
    """The engine of one model: found under its key, or made. Raises `BuildError`."""
    home = ENGINES / sku.name / spec.name
    with build_lock.held(home, progress):
        _remove_unfinished(home)
        with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=home) as scratch:
            checkpoint = open_checkpoint(spec, Path(scratch))
            build = _Build(spec, sku, checkpoint, recipe or recipe_for(spec, sku))
            return _found_or_built(build, home, progress)


@dataclass(frozen=True)
class _Build:
    """One build with its checkpoint at hand."""

    spec: ModelSpec
    sku: Sku
    checkpoint: Checkpoint
    recipe: Recipe

    @property
    def inputs(self) -> dict[str, Any]:
        """What the key is a hash of."""
        return engine_inputs(self.spec, self.sku, self.checkpoint, self.recipe)

    @property
    def precision(self) -> str:
        """What the weights are stored in."""
        plan = self.recipe.plan
        return plan.precision if plan else self.recipe.precision or self.spec.precision


def _found_or_built(build: _Build, home: Path, progress: Progress) -> Engine:
    spec, sku, folder = build.spec, build.sku, home / key_of(build.inputs)
    log = BuildLog(LOGS / f"{sku.name}-{spec.name}.log")
    steps = BuildSteps(spec.name, WORK / sku.name / spec.name / folder.name, log, progress)
    if _is_published(folder, progress):
        steps.remove()
        return Engine(spec, folder, 0.0)
    start = time.monotonic()
    _run(build, steps, folder)
    return Engine(spec, folder, time.monotonic() - start)


def _remove_unfinished(home: Path) -> None:
    """What killed builds left: we hold the lock, so no living one owns it."""
    for folder in home.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder, ignore_errors=True)


def _is_published(folder: Path, progress: Progress) -> bool:
    if not folder.exists():
        return False
    try:
        published(folder)
    except ManifestError as error:
        progress(f"found damaged, making it again: {error}")
        shutil.rmtree(folder)
        return False
    return True


def _run(build: _Build, steps: BuildSteps, folder: Path) -> None:
    spec, checkpoint = build.spec, build.checkpoint
    steps.progress(f"making {build.precision} engine from {spec.source} …")
    resources.check(spec.name, checkpoint, folder.parent)
    steps.log.begin()
    made = build.recipe.make(spec, checkpoint, steps)
    for name in _TOKENIZER_FILES:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, made / name)
    _write_manifest(build, made)
    _publish(made, folder)
    steps.remove()


def _publish(made: Path, folder: Path) -> None:
    """In one step, so that nobody sees half an engine; copied before, from another file system."""
    if made.stat().st_dev != folder.parent.stat().st_dev:
        made = Path(shutil.copytree(made, folder.with_name(f"{UNFINISHED}{folder.name}")))
    made.rename(folder)


def _write_manifest(build: _Build, made: Path) -> None:
    (made / MANIFEST_FILE).unlink(missing_ok=True)  # of a build that ended just before publishing
    spec, checkpoint, plan, inputs = build.spec, build.checkpoint, build.recipe.plan, build.inputs
    manifest = Manifest(
        role=spec.role,
        engine=build.recipe.engine,
        model=spec.name,
        sku=build.sku.name,
        key=key_of(inputs),
        precision=build.precision,
        max_tokens=plan.max_seq_len if plan else spec.max_tokens,
        checkpoint_sha256=checkpoint.sha256,
        files={file.name: sha256(file) for file in sorted(made.iterdir()) if file.is_file()},
        versions=build.recipe.versions(),
        eos_token_ids=checkpoint.eos_token_ids() if spec.role == "llm" else (),
        sampling=spec.sampling_defaults,
        answer=spec.answer_policy,
        inputs=inputs,
        compute_capability=build.sku.gpu.compute_capability.value if build.sku.gpu else "",
        gpu=build.recipe.gpu,
        container=plan.container if plan else "",
        plan=plan.to_json() if plan else {},
    )
    (made / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
