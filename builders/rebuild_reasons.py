"""Why an engine is made though there is one: what differs from the inputs of the newest."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ensembles.manifest import MANIFEST_FILE, ManifestError, read_manifest


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
