"""Removes engines and converted checkpoints that nothing uses any more, and remains of builds."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from builders import build_lock, converted
from builders import engine as engines
from builders.build_steps import Progress
from builders.checkpoint import open_checkpoint
from builders.errors import BuildError
from builders.recipe import newest_engine
from builders.repository import REPOSITORY
from builders.spec import ENGINE_LINK, Sku, load_model, model_names

Removal = tuple[Path, int]
"""A folder that was removed, or would be removed, and its size in bytes."""


def collect(
    skus: list[Sku], progress: Progress, dry_run: bool, repository: Path = REPOSITORY
) -> Iterator[Removal]:
    """Remove what no link and no spec uses; a model that neither uses keeps its newest engine."""
    linked = {link.resolve() for link in repository.glob(f"*/1/{ENGINE_LINK}")}
    for sku in skus:
        for home in sorted((engines.ENGINES / sku.name).glob("[!.]*/")):
            try:
                with build_lock.held(home):
                    yield from _collect_model(home, sku, linked, progress, dry_run)
            except build_lock.Busy as busy:
                progress(f"{sku.name}/{home.name}: left alone, {busy} builds it")


def _collect_model(
    home: Path, sku: Sku, linked: set[Path], progress: Progress, dry_run: bool
) -> Iterator[Removal]:
    key, checkpoint = _current(home.name, sku, progress)
    used = {folder for folder in home.glob("[!.]*/") if folder.resolve() in linked}
    used |= {folder for folder in [home / key] if key and folder.is_dir()}
    used |= set(home.glob(f"{engines.STEPS}{key or '*'}/"))  # a GPU plan's key isn't known
    newest = newest_engine(home)
    if newest and (not used or not key):
        used.add(newest)
    unused = set(home.glob("*/")) - used
    if key:
        unused |= set((converted.CONVERTED / home.name).glob("*/")) - {checkpoint}
    for folder in sorted(unused):
        yield _remove(folder, dry_run)


def _current(model: str, sku: Sku, progress: Progress) -> tuple[str, Path | None]:
    """Key of the engine that a build would make (empty: not known), and its checkpoint's folder."""
    if model not in model_names():
        return "", None
    spec = load_model(model)
    if sku.gpu and spec.role == "llm":  # what a build would make depends on a plan
        return "", None
    try:
        checkpoint = open_checkpoint(spec)
        return engines.engine_key(spec, sku, checkpoint), checkpoint.path
    except BuildError as error:
        progress(f"{sku.name}/{model}: keeping the newest; its checkpoint can't be read: {error}")
        return "", None


def _remove(folder: Path, dry_run: bool) -> Removal:
    """Rename the folder first, so that an engine is never seen in part. Its bytes are without
    files that have other hard links: removing these frees nothing."""
    files = [file.stat() for file in folder.rglob("*") if file.is_file()]
    size = sum(file.st_size for file in files if file.st_nlink == 1)
    if not dry_run:
        hidden = folder.with_name(f".gone-{folder.name.lstrip('.')}")
        shutil.rmtree(folder.rename(hidden))
    return folder, size
