"""model_repository/ on disk: generated text written or compared, engines linked in."""

import difflib
import os
from collections.abc import Iterator
from pathlib import Path

from builders.engine import Engine
from builders.served_models import PYTHON_MODELS
from builders.spec import ENGINE_LINK, ROOT

REPOSITORY = ROOT / os.environ.get("MODEL_REPOSITORY", "model_repository")
"""Where all commands render, link and serve; tests name a folder of their own."""


def write(files: dict[str, str], repository: Path = REPOSITORY) -> list[str]:
    """Write what differs and remove generated files of models that are gone; their paths."""
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
    return changed


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
        if found != text or not path.is_file():
            yield (
                "".join(
                    difflib.unified_diff(
                        found.splitlines(keepends=True),
                        text.splitlines(keepends=True),
                        f"on disk: {name}",
                        f"rendered: {name}",
                    )
                )
                or f"missing: {name}\n"
            )
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
