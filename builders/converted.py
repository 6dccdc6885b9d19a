"""Converted checkpoint folders, kept for later builds: build/converted/."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from builders.checkpoint_files import WEIGHTS, WEIGHTS_INDEX
from builders.spec import ROOT
from ensembles.manifest import sha256

CONVERTED = ROOT / "build" / "converted"
"""It has a folder for each model, and in it one for each content: no conversion is done twice."""


def kept(
    model: str, inputs: list[Any], sources: Iterable[Path], fill: Callable[[Path], None]
) -> Path:
    """The folder that `fill` makes of `inputs` (JSON) by the code in `sources`: found, or made."""
    key = [*inputs, *(sha256(source) for source in sorted(sources))]
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    folder = CONVERTED / model / name
    if folder.is_dir():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".making-", dir=folder.parent) as scratch:
        made = Path(scratch) / "checkpoint"
        made.mkdir()
        fill(made)
        if not folder.is_dir():  # another command may have been faster
            made.rename(folder)
    return folder


def write_weights(
    folder: Path, shards: Iterable[Mapping[str, Any]], save: Callable[..., None]
) -> bool:
    """Write a file for each group of weights, and an index; returns whether there are any."""
    places: dict[str, str] = {}
    for number, shard in enumerate(filter(None, shards), 1):
        name = f"model-{number:05}.safetensors"
        save(shard, folder / name, {"format": "pt"})
        places |= dict.fromkeys(shard, name)
    if len(files := set(places.values())) == 1:
        (folder / files.pop()).rename(folder / WEIGHTS)
    else:
        index = {"metadata": {}, "weight_map": places}
        (folder / WEIGHTS_INDEX).write_text(json.dumps(index), encoding="utf-8")
    return bool(places)


def link_or_copy(source: str, target: str) -> None:
    """Make a hard link where the file system can; JSON files, which may change, are copied."""
    resolved = Path(source).resolve()  # the hub's cache is full of symbolic links
    Path(target).unlink(missing_ok=True)  # never write into it: it may be a link to the user's
    try:
        if resolved.suffix == ".json":
            raise OSError
        os.link(resolved, target)
    except OSError:
        shutil.copyfile(resolved, target)
