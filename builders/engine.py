"""Engines: built once per content, published whole or not at all."""

import contextlib
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from builders import build_lock, build_resources, cpu_llm
from builders.build_steps import REFERENCE, BuildLog, BuildSteps, Progress
from builders.checkpoint import Checkpoint, Facts, open_checkpoint
from builders.checkpoint_files import MODULES
from builders.checkpoint_kind import check_kind
from builders.encoder_checkpoint import encoder_facts
from builders.engine_trial import answers, try_prompt
from builders.llm_checkpoint import check_vocabulary, llm_facts
from builders.llm_prompt import with_tools
from builders.openvino_export import TOKENIZER_FILES, TOKENIZER_TOOLS, convert_tokenizer
from builders.recipe import Recipe, bytes_decided_by, differences, engine_inputs, key_of
from builders.spec import ROOT, ModelSpec, Sku
from ensembles.manifest import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    AnswerPolicy,
    Manifest,
    ManifestError,
    Sampling,
    read_manifest,
    sha256,
)

ENGINES = ROOT / "build" / "engines"
LOGS = ROOT / "build" / "logs"

STEPS = ".steps-"
"""Prefix of the folder with a build's steps; the engine's key follows it."""

_TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")


def _make_onnx(precision: str, spec: ModelSpec, checkpoint: Checkpoint, steps: BuildSteps) -> Path:
    def export(to: Path) -> None:
        from builders.onnx_export import export_encoder  # with torch, which only an export needs

        export_encoder(spec, checkpoint, to / "model.onnx", precision)

    return steps.step("export", export)


_ONNX_TOOLS = ("torch", "transformers", "sentence-transformers")
ONNX = Recipe("onnx", _ONNX_TOOLS, partial(_make_onnx, "fp32"))
ONNX_FP16 = Recipe("onnx", _ONNX_TOOLS, partial(_make_onnx, "fp16"), precision="fp16")
OPENVINO = Recipe(
    "openvino",
    cpu_llm.TOOLS,
    cpu_llm.make,
    guide_tools=TOKENIZER_TOOLS,
    check=cpu_llm.check,
)


def recipe_for(spec: ModelSpec, sku: Sku) -> Recipe:
    """The recipe of an engine that is built without a GPU: encoders of any SKU, LLMs of `cpu`."""
    if spec.role == "llm":
        return OPENVINO
    return ONNX_FP16 if sku.gpu else ONNX


@dataclass(frozen=True)
class Engine:
    """A published engine folder, and how many seconds its build took (0.0: it existed already)."""

    spec: ModelSpec
    folder: Path
    seconds: float


def engine_key(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint) -> str:
    """Key of the engine that a build would make."""
    return key_of(engine_inputs(spec, sku, checkpoint, recipe_for(spec, sku)))


def published(folder: Path) -> Manifest:
    """The manifest of a finished engine; raises `ManifestError` when it can't be used."""
    manifest = read_manifest(folder)
    if missing := [name for name in manifest.files if not (folder / name).is_file()]:
        raise ManifestError(f"{folder} lacks {', '.join(missing)}: run 'make build-engines'")
    return manifest


def build_engine(
    spec: ModelSpec, sku: Sku, progress: Progress, recipe: Recipe | None = None
) -> Engine:
    """The engine of one model: found under its key, or made. Raises `BuildError`."""
    home, log = ENGINES / sku.name / spec.name, BuildLog(LOGS / f"{sku.name}-{spec.name}.log")
    with build_lock.held(home, progress):
        made_by, checkpoint = recipe or recipe_for(spec, sku), open_checkpoint(spec)
        build = _Build(spec, sku, checkpoint, made_by, Facts(spec.max_tokens))
        folder = home / key_of(build.inputs)
        steps = BuildSteps(spec.name, home / f"{STEPS}{folder.name}", log, progress)
        if _is_published(folder, progress):
            steps.remove()
            return Engine(spec, folder, 0.0)
        if changed := differences(home, build.inputs):
            progress(f"not the newest engine's: {changed}")
        start = time.monotonic()
        _run(build, steps, folder)
        return Engine(spec, folder, time.monotonic() - start)


@dataclass
class _Build:
    """One build and its checkpoint; `facts` are filled in during the build."""

    spec: ModelSpec
    sku: Sku
    checkpoint: Checkpoint
    recipe: Recipe
    facts: Facts

    @property
    def inputs(self) -> dict[str, Any]:
        """The inputs that the key is a hash of."""
        return engine_inputs(self.spec, self.sku, self.checkpoint, self.recipe)

    @property
    def precision(self) -> str:
        """The number format of the stored weights."""
        plan = self.recipe.plan
        return plan.precision if plan else self.recipe.precision or self.spec.precision


def _is_published(folder: Path, progress: Progress) -> bool:
    try:
        return folder.exists() and bool(published(folder))
    except ManifestError as error:
        progress(f"found damaged, making it again: {error}")
        shutil.rmtree(folder)
        return False


def _run(build: _Build, steps: BuildSteps, folder: Path) -> None:
    steps.log.begin()
    facts = build.facts = read_facts(build.spec, build.sku, build.checkpoint, steps.progress)
    build.recipe.check(build.spec, build.checkpoint)
    if plan := build.recipe.plan:
        facts.max_tokens, facts.unguided = plan.max_seq_len, build.recipe.unguided
    if build.spec.role == "llm":
        _try(build, steps)
    if twin := _twin(build, folder.parent):
        made, facts.comparison = _taken_over(twin, steps), published(twin).comparison
    else:
        made = _made(build, steps, folder)
    _write_texts(build, made)
    if build.recipe.guide_tools:
        facts.unguided = convert_tokenizer(made, facts.vocabulary)
        if facts.unguided:
            steps.progress(f"guided decoding (JSON modes) is off: {facts.unguided}")
    _write_manifest(build, made)
    if (steps.folder / REFERENCE).is_dir():
        facts.comparison = _comparison(build, made, steps)
        _write_manifest(build, made)
    made.rename(folder)  # in one step, so that no half engine is seen
    steps.remove()


def read_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """Reads spec and checkpoint; raises `BuildError` for what the model or the SKU lacks."""
    try:
        check_kind(spec, checkpoint.config(), (checkpoint.path / MODULES).is_file())
        check_vocabulary(spec, checkpoint)
        if spec.role == "llm":
            return llm_facts(spec, sku, checkpoint, progress)
        return encoder_facts(spec, checkpoint, progress)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise spec.error(
            f"a JSON file in {checkpoint.path} has a value of another kind than transformers "
            f"writes: {error}"
        ) from error


def _made(build: _Build, steps: BuildSteps, folder: Path) -> Path:
    steps.progress(f"making {build.precision} engine from {build.spec.source} …")
    build_resources.check(build.spec.name, build.checkpoint.size_bytes, folder.parent)
    if build.spec.role != "llm":
        from builders.encoder_reference import write_reference

        write = partial(write_reference, build.spec, build.checkpoint, build.facts)
        steps.step(REFERENCE, write)
    return build.recipe.make(build.spec, build.checkpoint, steps)


def _try(build: _Build, steps: BuildSteps) -> None:
    """Renders the prompt of a sample question, to learn what ends an answer and how tools are
    called."""
    facts = build.facts
    with tempfile.TemporaryDirectory(prefix="trial-") as scratch:
        _write_texts(build, Path(scratch))
        _write_manifest(build, Path(scratch))
        ends, tool_calls = try_prompt(build.spec.name, Path(scratch), steps.log)
    facts.eos_token_ids = tuple(sorted({*facts.eos_token_ids, *ends}))
    if not facts.eos_token_ids:
        raise build.spec.error(
            "no file of the checkpoint names the token that ends an answer; write eos_token_id "
            "into generation_config.json"
        )
    facts.prompt, sentence = with_tools(build.spec, facts.prompt, tool_calls)
    steps.progress(sentence)


def _comparison(build: _Build, made: Path, steps: BuildSteps) -> str:
    """A sentence on how close engine and reference implementation are; raises `BuildError`."""
    from builders import encoder_reference, llm_reference

    steps.progress("comparison with the reference implementation …")
    spec, reference = build.spec, steps.folder / REFERENCE
    found = answers(spec, build.sku, made, reference, steps.log)
    if spec.role == "llm":
        said = llm_reference.compare(spec, reference, found, build.facts.eos_token_ids)
    else:
        said = encoder_reference.compare(spec, reference, found, build.precision)
    steps.progress(said)
    return said


def _twin(build: _Build, home: Path) -> Path | None:
    """A published engine with the same bytes, whose manifest has other settings."""
    wanted = bytes_decided_by(json.loads(json.dumps(build.inputs)))
    for path in home.glob(f"[!.]*/{MANIFEST_FILE}"):
        with contextlib.suppress(ManifestError):
            inputs = published(path.parent).inputs
            if inputs and bytes_decided_by(inputs) == wanted:
                return path.parent
    return None


def _taken_over(twin: Path, steps: BuildSteps) -> Path:
    """Hard links to an engine's files, except those that every build writes."""
    ours = shutil.ignore_patterns(MANIFEST_FILE, *_TOKENIZER_FILES, *TOKENIZER_FILES)
    steps.progress("only settings have changed: nothing is exported")

    def link(to: Path) -> None:
        shutil.copytree(twin, to, copy_function=os.link, ignore=ours, dirs_exist_ok=True)

    return steps.step("settings", link)


def _write_texts(build: _Build, made: Path) -> None:
    """Write the files beside an engine's own: tokenizer and chat template."""
    for name in _TOKENIZER_FILES:
        (made / name).unlink(missing_ok=True)
        if (build.checkpoint.path / name).is_file():
            shutil.copyfile(build.checkpoint.path / name, made / name)
    for name, text in build.facts.texts.items():
        (made / name).write_text(text, encoding="utf-8")


def _write_manifest(build: _Build, made: Path) -> None:
    (made / MANIFEST_FILE).unlink(missing_ok=True)  # from a build that stopped before publishing
    spec, checkpoint, plan, inputs = build.spec, build.checkpoint, build.recipe.plan, build.inputs
    facts = {name: value for name, value in vars(build.facts).items() if name != "texts"}
    manifest = Manifest(
        role=spec.role,
        engine=build.recipe.engine,
        model=spec.name,
        sku=build.sku.name,
        key=key_of(inputs),
        precision=build.precision,
        checkpoint_sha256=checkpoint.sha256,
        files={file.name: sha256(file) for file in sorted(made.iterdir()) if file.is_file()},
        versions=build.recipe.versions(),
        sampling=Sampling(**spec.sampling.model_dump()),
        answer=AnswerPolicy(**spec.answer.model_dump()),
        relevance_percent=100 if spec.relevance_percent is None else spec.relevance_percent,
        inputs=inputs,
        compute_capability=build.sku.gpu.compute_capability.value if build.sku.gpu else "",
        gpu=build.recipe.gpu,
        container=plan.container if plan else "",
        plan=plan.to_json() if plan else {},
        **facts,
    )
    (made / MANIFEST_FILE).write_text(manifest.to_json(), encoding="utf-8")
