"""Why a build is due: what differs between an engine's inputs now and when the newest was made."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from builders import engine as engines
from builders.checkpoint import open_checkpoint
from builders.recipe import Recipe, engine_inputs, key_of
from builders.spec import ModelSpec, Sku
from ensembles.manifest import MANIFEST_FILE, ManifestError, read_manifest

_HASH_LENGTH = 64


def rebuild_reasons(spec: ModelSpec, sku: Sku, recipe: Recipe | None = None) -> list[str]:
    """Empty: the engine is up to date. Raises `BuildError` when the checkpoint can't be read."""
    checkpoint = open_checkpoint(spec)
    inputs = engine_inputs(spec, sku, checkpoint, recipe or engines.recipe_for(spec, sku))
    home = engines.ENGINES / sku.name / spec.name
    folder, newest = home / key_of(inputs), newest_engine(home)
    try:
        if folder.exists():
            engines.published(folder)
            return []
        if newest:
            return _differences(read_manifest(newest).inputs, inputs)
    except ManifestError as error:
        return [f"its engine can't be used: {error}"]
    return [f"no engine of it for SKU '{sku.name}'"]


def newest_engine(home: Path) -> Path | None:
    """The folder in a model's home that was published last."""
    manifests = list(home.glob(f"[!.]*/{MANIFEST_FILE}"))
    return max(manifests, key=lambda path: path.stat().st_mtime).parent if manifests else None


def _differences(made_of: Mapping[str, Any], inputs: Mapping[str, Any]) -> list[str]:
    before, now = dict(_leaves(made_of)), dict(_leaves(json.loads(json.dumps(inputs))))
    names = sorted(before.keys() | now.keys())
    changed = [n for n in names if n in before and before[n] != now.get(n, "gone")]
    added = [n for n in names if n not in before]
    lines = [f"{n}: {_short(before[n])} → {_short(now.get(n, 'gone'))}" for n in changed]
    return lines + [f"{n}: new, {_short(now[n])}" for n in added]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested tables as dotted names with their values."""
    for name, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _leaves(inner, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", str(inner)


def _short(text: str) -> str:
    return f"{text[:12]}…" if len(text) == _HASH_LENGTH else text
