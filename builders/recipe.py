"""How a kind of engine is made, and the inputs that decide its bytes: its key is their hash."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.build_steps import BuildSteps
from builders.checkpoint import Checkpoint
from builders.checkpoint_files import answer_weights
from builders.engine_plan import EnginePlan, RuntimePlan
from builders.llm_prompt import prompt_hash
from builders.spec import ModelSpec, Sku
from ensembles.manifest import MANIFEST_FILE, ManifestError, read_manifest, sha256

_FORMAT = 4
"""Part of every key: raise it when the code makes different bytes from the same input."""

_MANIFEST_ONLY: Mapping[str, tuple[str, ...]] = {
    "llm": ("max_tokens", "sampling", "answer"),
    "embedder": ("query_prefix", "passage_prefix"),
    "reranker": ("relevance_percent",),
    "reader": ("relevance_percent",),
}
"""Fields of a spec that only change the manifest, by role."""

_LATER = ("dimensions", "relevance_percent", "answer_weights")
"""Newer fields of specs: they are left out of the key where they are None, so that keys of older
engines stay the same."""


@dataclass(frozen=True)
class Recipe:
    """How a kind of engine is made. `make` gives the folder that its last step filled.

    `check` raises `BuildError` at the start for a checkpoint that `make` can't take. `tools` are
    packages whose versions decide the bytes. An empty `precision` means the spec's. Engines for
    GPUs have a `plan` and a `gpu`, the product that they are made on, and a `runtime` if they
    contain its settings. `guide_tools` make the files that an LLM needs to follow guides;
    `unguided` says why it can't, if that is known before the build.
    """

    engine: str
    tools: tuple[str, ...]
    make: Callable[[ModelSpec, Checkpoint, BuildSteps], Path]
    plan: EnginePlan | None = None
    gpu: str = ""
    precision: str = ""
    runtime: RuntimePlan | None = None
    guide_tools: tuple[str, ...] = ()
    unguided: str = ""
    check: Callable[[ModelSpec, Checkpoint], None] = lambda spec, checkpoint: None

    def versions(self) -> dict[str, str]:
        """Versions of the installed tools, and of what the plan pins."""
        installed = {tool: version(tool) for tool in self.tools}
        return installed | ({"tensorrt_llm": self.plan.tensorrt_llm} if self.plan else {})


def engine_inputs(
    spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, recipe: Recipe
) -> dict[str, Any]:
    """All that decides bytes and manifest: the spec without its source and what only plans read,
    the SKU, the checkpoint, tools, prompt and plan."""
    said = spec.model_dump(exclude={"source", "folder", "architecture", "gpu", "prompt"})
    inputs = {
        "format": _FORMAT,
        "spec": {n: v for n, v in said.items() if v is not None or n not in _LATER},
        "sku": sku.name,
        "checkpoint": checkpoint.sha256,
        "tools": recipe.versions(),
    }
    if spec.answer_weights:
        inputs["answers"] = sha256(answer_weights(spec))
    if spec.role == "llm":
        inputs["prompt"] = prompt_hash(spec)
    own = {
        "precision": recipe.precision,
        "plan": recipe.plan and recipe.plan.to_json(),
        "runtime": recipe.runtime and vars(recipe.runtime),
        "guides": recipe.unguided or {tool: version(tool) for tool in recipe.guide_tools},
    }
    return inputs | {name: value for name, value in own.items() if value}


def bytes_decided_by(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of an engine without those that only change its manifest.

    On the SKU `cpu` guides only need the tokenizer's files, which every build writes again.
    """
    said = inputs["spec"]
    spec = {n: v for n, v in said.items() if n not in _MANIFEST_ONLY[said["role"]]}
    guides = inputs.get("guides") if "plan" in inputs else None
    return {**inputs, "spec": spec, "prompt": None, "guides": guides}


def key_of(inputs: dict[str, Any]) -> str:
    """The name of an engine's folder: a hash of its inputs."""
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()[:16]


def newest_engine(home: Path) -> Path | None:
    """The folder in a model's home that was published last."""
    manifests = list(home.glob(f"[!.]*/{MANIFEST_FILE}"))
    return max(manifests, key=lambda path: path.stat().st_mtime).parent if manifests else None


def differences(home: Path, inputs: Mapping[str, Any]) -> str:
    """Each input that has changed, with its old and new value; empty without an older engine."""
    newest = newest_engine(home)
    try:
        before = dict(_leaves(read_manifest(newest).inputs)) if newest else {}
    except ManifestError:
        return ""
    now = dict(_leaves(json.loads(json.dumps(inputs))))
    changed = sorted(name for name in before | now if before and before.get(name) != now.get(name))
    return ", ".join(f"{n} {before.get(n, '–'):.16} → {now.get(n, '–'):.16}" for n in changed)


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested tables as dotted names with their values."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(inner)
