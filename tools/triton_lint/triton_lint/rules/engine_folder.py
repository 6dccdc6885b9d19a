"""Engine folders against the manifests that the builders of triton-rag-repository write."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from triton_lint.config_tree import Message, Node
from triton_lint.findings import Problem
from triton_lint.folders import Folder
from triton_lint.models import Model
from triton_lint.reading import is_file, is_folder, read_file
from triton_lint.repository import Repository
from triton_lint.rule import WARNING, check

MANIFEST = "manifest.json"
PARAMETER = "engine_folder"

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_HASHED_BYTES = 4 * 1024 * 1024
"""Larger files, such as weights, are only looked for: hashing them would take seconds."""


@check("TRN608", WARNING)
def _mismatch(model: Model, _: Repository) -> Iterator[Problem]:
    if not model.checks_files or model.is_ensemble:
        return
    named, node = _named(model)
    at = node.at if node else model.at(model.config)
    for version in model.loaded_folders:
        root = model.place.folder.path / version
        if named and (text := _absent(root, named)):
            yield Problem(at, f"version {version}: {text}")
        for folder in [named] if named else _candidates(model, version):
            for text in _contradictions(root / folder):
                yield Problem(at, f"{(PurePosixPath(version) / folder).as_posix()}: {text}")


def _named(model: Model) -> tuple[str, Node | None]:
    """The parameter's value and place; "" where it is not set."""
    for entry in model.config.entries("parameters"):
        if entry.key == PARAMETER and isinstance(entry.value, Message):
            return entry.value.text("string_value"), entry.node
    return "", None


def _candidates(model: Model, version: str) -> Iterator[str]:
    """Where engines lie that no parameter names: in the version, or in a folder below it."""
    contents = model.place.contents(version)
    if MANIFEST in contents.files:
        yield ""
    for name in sorted(contents.folders):
        if MANIFEST in Folder.read(contents.path / name).files:
            yield name


def _absent(root: Path, named: str) -> str:
    """What is there instead of the engine folder, where other engines lie beside it."""
    path = root / named
    if is_folder(path):
        return ""
    beside = sorted(Folder.read(path.parent).folders)
    found = [name for name in beside if is_file(path.parent / name / MANIFEST)]
    there = f"; there is {', '.join(found[:5])}" if found else ""
    return f"{PARAMETER} is '{named}', which is not there{there}" if found else ""


def _contradictions(folder: Path) -> Iterator[str]:
    for name, expected in sorted(_files(folder / MANIFEST).items()):
        path = folder / name
        if not is_file(path):
            yield f"{MANIFEST} lists '{name}', which is not there"
        elif (found := _hash(path)) and found != expected:
            yield (
                f"'{name}' is not the file that {MANIFEST} lists: its SHA-256 is {found[:12]}…, "
                f"not {expected[:12]}…"
            )


def _files(path: Path) -> Mapping[str, str]:
    """The SHA-256 of each file of an engine; empty for a manifest of another form."""
    try:
        data = read_file(path, MAX_MANIFEST_BYTES)
        fields = json.loads(data) if len(data) <= MAX_MANIFEST_BYTES else {}
    except (OSError, ValueError, RecursionError):
        return {}
    files = fields.get("files") if isinstance(fields, dict) else None
    if not isinstance(files, dict) or not isinstance(fields.get("sku"), str):
        return {}
    return files if all(_is_entry(*entry) for entry in files.items()) else {}


def _is_entry(name: str, digest: object) -> bool:
    """A plain file name and a SHA-256."""
    return name == PurePosixPath(name).name and isinstance(digest, str) and len(digest) == 64


def _hash(path: Path) -> str:
    """SHA-256 in hexadecimal; "" of files that are large or can't be read."""
    try:
        data = read_file(path, MAX_HASHED_BYTES)
        return "" if len(data) > MAX_HASHED_BYTES else hashlib.sha256(data).hexdigest()
    except OSError:
        return ""
