"""Copies of model_repository/ with something wrong in them."""

import re
import shutil
from pathlib import Path

from builders.repository import REPOSITORY, engine_link
from builders.spec import ROOT

WORK = ROOT / "build" / "chaos"
SHIMS = Path(__file__).parent / "shims"


def copy(name: str) -> Path:
    """A copy to change; its engines are links to the built ones."""
    target = WORK / "repositories" / name
    shutil.rmtree(target, ignore_errors=True)
    ignored = shutil.ignore_patterns("engine", "__pycache__")
    shutil.copytree(REPOSITORY, target, ignore=ignored)
    for link in REPOSITORY.glob("*/1/engine"):
        copied = target / link.relative_to(REPOSITORY)
        copied.symlink_to(link.resolve())
    return target


def set_parameter(repository: Path, model: str, key: str, value: int) -> None:
    """Change one parameter of a model's config.pbtxt; raises ValueError when it isn't there."""
    _substitute(
        repository / model / "config.pbtxt",
        rf'(key: "{key}"\s+value {{\s+string_value: )"[^"]*"',
        rf'\g<1>"{value}"',
    )


def _substitute(path: Path, pattern: str, replacement: str) -> None:
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"))
    if count != 1:
        raise ValueError(f"{path}: {pattern} found {count} times, not once")
    path.write_text(text, encoding="utf-8")


def break_stage(repository: Path, model: str) -> None:
    """Serve the model by its shim of this folder, which fails on words of the request."""
    folder = repository / model / "1"
    shutil.copy(SHIMS / f"{model}.py", folder / "model.py")
    shutil.copy(SHIMS / "broken_encoder.py", folder)


def own_engine(repository: Path, model: str) -> Path:
    """Make the model's engine folder a real copy, and return it."""
    link = engine_link(model, repository)
    source = link.resolve()
    link.unlink()
    shutil.copytree(source, link)
    return link
