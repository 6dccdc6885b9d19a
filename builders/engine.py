"""Engines: built once per content, published whole or not at all."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from builders.checkpoint import Checkpoint, open_checkpoint
from builders.cpu_llm import export_llm
from builders.errors import BuildError
from builders.onnx_export import export_encoder
from builders.spec import ROOT, ModelSpec, Sku
from ensembles.manifest import MANIFEST_FILE, TOKENIZER_FILE, Manifest, sha256

ENGINES = ROOT / "build" / "engines"

_TOOLS = {
    "embedder": ("torch", "transformers"),
    "reranker": ("torch", "transformers"),
    "llm": ("optimum-intel", "openvino", "transformers"),
}
_TOKENIZER_FILES = (TOKENIZER_FILE, "tokenizer_config.json", "chat_template.jinja")
_FORMAT = 1
"""Part of every key: raise it when this code makes different bytes from the same input."""

_SPARE_BYTES = 200 * 2**20

Report = Callable[[str], None]


@dataclass(frozen=True)
class Engine:
    """A published engine folder, and the seconds that making it took (0.0: it was there)."""

    spec: ModelSpec
    folder: Path
    seconds: float


def engine_key(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint) -> str:
    """Hash of everything that decides the engine's bytes and its manifest."""
    parts = {
        "format": _FORMAT,
        "spec": spec.model_dump(exclude={"source"}),
        "sku": sku.name,
        "checkpoint": checkpoint.sha256,
        "tools": _versions(spec),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def build_engine(spec: ModelSpec, sku: Sku, report: Report) -> Engine:
    """The engine of one model: found under its key, or made. Raises `BuildError`."""
    home = ENGINES / sku.name / spec.name
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=home) as scratch:
        checkpoint = open_checkpoint(spec, Path(scratch))
        key = engine_key(spec, sku, checkpoint)
        folder = home / key
        if (folder / MANIFEST_FILE).is_file():
            return Engine(spec, folder, 0.0)
        report(f"making {spec.precision} engine from {spec.source} …")
        _check_disk(checkpoint, home)
        start = time.monotonic()
        making = Path(scratch) / "engine"
        making.mkdir()
        _make(spec, checkpoint, making)
        _write_manifest(spec, sku, checkpoint, key, making)
        making.rename(folder)
        return Engine(spec, folder, time.monotonic() - start)


def _make(spec: ModelSpec, checkpoint: Checkpoint, making: Path) -> None:
    if spec.role == "llm":
        export_llm(spec, checkpoint, making)
    else:
        export_encoder(spec, checkpoint, making / "model.onnx")
    for name in _TOKENIZER_FILES:
        if (checkpoint.path / name).is_file():
            shutil.copyfile(checkpoint.path / name, making / name)


def _write_manifest(
    spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, key: str, making: Path
) -> None:
    manifest = Manifest(
        role=spec.role,
        model=spec.name,
        sku=sku.name,
        key=key,
        precision=spec.precision,
        max_tokens=spec.max_tokens,
        checkpoint_sha256=checkpoint.sha256,
        files={file.name: sha256(file) for file in sorted(making.iterdir())},
        versions=_versions(spec),
        eos_token_ids=checkpoint.eos_token_ids() if spec.role == "llm" else (),
        sampling=spec.sampling_defaults,
    )
    (making / MANIFEST_FILE).write_text(manifest.to_json())


def _versions(spec: ModelSpec) -> dict[str, str]:
    return {tool: version(tool) for tool in _TOOLS[spec.role]}


def _check_disk(checkpoint: Checkpoint, home: Path) -> None:
    """An export holds the weights twice for a while."""
    need = 2 * checkpoint.size_bytes + _SPARE_BYTES
    free = shutil.disk_usage(home).free
    if free < need:
        raise BuildError(
            f"disk: {need / 2**30:.1f} GiB needed under {home}, {free / 2**30:.1f} GiB free"
        )
