"""Writes and compares the generated text of model_repository/, and links engines into it."""

import difflib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from builders.engine import Engine
from builders.errors import BuildError
from builders.spec import ENGINE_LINK, ROOT
from ensembles.served_models import PYTHON_MODELS

REPOSITORY = ROOT / os.environ.get("MODEL_REPOSITORY", "model_repository")
"""Where all commands render, link and serve; tests name a folder of their own."""


def write(files: dict[str, str], repository: Path = REPOSITORY) -> list[str]:
    """Write what differs, and remove generated files of models that are gone; returns the paths."""
    changed = []
    for name, text in files.items():
        path = repository / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(name)
    for path in stale(files, repository):
        path.unlink()
        changed.append(str(path.relative_to(repository)))
    for folder in _left_over(repository):
        shutil.rmtree(folder)
        changed.append(folder.name)
    return changed


def _left_over(repository: Path) -> Iterator[Path]:
    """Folders with only byte code and the engine link of a model that is gone. Triton would take
    each for a model without a configuration, and not start."""
    for folder in sorted(repository.iterdir()):
        files = [path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()]
        links = [path for path in files if path.is_symlink() and path.name == ENGINE_LINK]
        if folder.is_dir() and all(path.suffix == ".pyc" or path in links for path in files):
            yield folder


def check_writable(*folders: Path) -> None:
    """Raises `BuildError` for a folder in which this account may not write; call it first."""
    for folder in folders:
        there = next(path for path in (folder, *folder.parents) if path.exists())
        try:
            with tempfile.NamedTemporaryFile(dir=there):
                pass
        except OSError as error:
            raise BuildError(
                f"{there}: user id {os.geteuid()} can't write there ({error.strerror}); its owner "
                f"is user id {there.stat().st_uid}: build as that account or in a clone of your "
                "own. To serve what is built: .venv/bin/python -m operations serve --work-folder …"
            ) from error


def stale(files: dict[str, str], repository: Path = REPOSITORY) -> Iterator[Path]:
    """Generated files on disk that are not generated any more."""
    for pattern in ("*/config.pbtxt", "*/configs/*.pbtxt", "*/1/model.py"):
        for path in sorted(repository.glob(pattern)):
            if str(path.relative_to(repository)) not in files:
                yield path


def differences(files: dict[str, str], repository: Path = REPOSITORY) -> Iterator[str]:
    """A unified diff for each file on disk that is not what would be written."""
    for name, text in sorted(files.items()):
        path = repository / name
        found = path.read_text(encoding="utf-8") if path.is_file() else ""
        if found != text:
            before, after = (each.splitlines(keepends=True) for each in (found, text))
            names = f"on disk: {name}", f"rendered: {name}"
            yield "".join(difflib.unified_diff(before, after, *names))
        elif not path.is_file():
            yield f"missing: {name}\n"
    for path in stale(files, repository):
        yield f"stale: {path.relative_to(repository)}\n"


def link_engines(engines: list[Engine], repository: Path = REPOSITORY) -> None:
    """Point each `<model>/1/engine` at the engine of the model's role, in one step each."""
    folders = {engine.spec.role: engine.folder for engine in engines}
    for model in PYTHON_MODELS:
        if model.role:
            link = engine_link(model.contract.name, repository)
            link.parent.mkdir(parents=True, exist_ok=True)
            fresh = link.with_name(f".{link.name}.new")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(os.path.relpath(folders[model.role], link.parent))
            fresh.replace(link)


def engine_link(model: str, repository: Path = REPOSITORY) -> Path:
    """Where a model looks for its engine."""
    return repository / model / "1" / ENGINE_LINK


def engine_links(repository: Path = REPOSITORY) -> Iterator[Path]:
    """Where each model of the repository that reads an engine looks for it."""
    for model in PYTHON_MODELS:
        if model.role and (repository / model.contract.name).is_dir():
            yield engine_link(model.contract.name, repository)
