"""What an engine folder says of itself: written by builders, read and checked by python_backends.

An engine's own files record neither the checkpoint nor the versions that made it, so this does.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

_TABLES = {"files", "versions", "inputs", "plan"}
"""Fields of a manifest that hold other fields."""


class ManifestError(ValueError):
    """An engine folder is missing, incomplete, or not what its manifest says."""


@dataclass(frozen=True)
class Sampling:
    """How a model generates when a request doesn't say; identical on every engine."""

    max_tokens: int = 256
    min_tokens: int = 0
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0


@dataclass(frozen=True)
class Manifest:
    """One engine folder.

    `engine` is what can run it: `onnx` for encoders; `openvino`, `tensorrt-llm` (a checkpoint for
    TensorRT-LLM's LLM API) or `tensorrtllm-backend` (an engine for NVIDIA's C++ backend) for LLMs.
    `max_tokens` is the longest sequence that the model takes (LLM: prompt and answer together).
    `files` maps each file to its SHA-256; `versions` names the packages that made the engine.
    `inputs` are the parts that the key is a hash of. Of GPU engines only: `compute_capability` as
    in "9.0", the product name `gpu`, the `container` it was made in, `plan` (an EnginePlan).
    """

    role: str
    model: str
    sku: str
    key: str
    precision: str
    max_tokens: int
    checkpoint_sha256: str
    files: Mapping[str, str]
    versions: Mapping[str, str]
    engine: str = "openvino"
    eos_token_ids: tuple[int, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    inputs: Mapping[str, Any] = field(default_factory=dict)
    compute_capability: str = ""
    gpu: str = ""
    container: str = ""
    plan: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(dataclasses.asdict(self), indent=2, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Manifest":
        """Read manifest.json; raises `ManifestError` for anything but a manifest of ours."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields["sampling"] = Sampling(**fields["sampling"])
            fields["eos_token_ids"] = tuple(fields["eos_token_ids"])
            for name in _TABLES & fields.keys():
                fields[name] = dict(fields[name])
            return cls(**fields)
        except (ValueError, TypeError, KeyError) as error:
            raise ManifestError(f"not a manifest of this version ({error}); rebuild") from error


def sha256(path: Path) -> str:
    """Hash of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of `folder`; raises `ManifestError` when there is none."""
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ManifestError(f"no {MANIFEST_FILE} in {folder}: run 'make build-engines'")
    try:
        return Manifest.from_json(path.read_text(errors="replace"))
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from error


def check_file(folder: Path, manifest: Manifest, name: str) -> Path:
    """The path of `name` in `folder`, after comparing it with the hash pinned at build time."""
    path = folder / name
    if name not in manifest.files or not path.is_file():
        raise ManifestError(f"no {name} in {folder}: run 'make build-engines'")
    found = sha256(path)
    if found != manifest.files[name]:
        raise ManifestError(
            f"{path} has changed since the build: its SHA-256 is {found[:12]}…, the manifest "
            f"pins {manifest.files[name][:12]}…; run 'make build-engines' again"
        )
    return path
