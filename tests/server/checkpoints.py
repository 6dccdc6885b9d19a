"""The checkpoints behind the running engines, for reference implementations."""

import functools
from pathlib import Path

from builders.checkpoint import Checkpoint, open_checkpoint
from builders.repository import engine_link
from builders.spec import ROOT, ModelSpec, load_model
from ensembles.manifest import read_manifest


def served_spec(role: str) -> ModelSpec:
    """The spec of the model that plays `role` on the server."""
    name = read_manifest(engine_link(role)).model
    own = f"tests/models/{name}.toml"
    return load_model(own if (ROOT / own).is_file() else name)


def checkpoint(role: str) -> Path:
    """The Hugging Face folder of that model."""
    return served_checkpoint(role).path


@functools.cache
def served_checkpoint(role: str) -> Checkpoint:
    """The checkpoint of that model."""
    manifest = read_manifest(engine_link(role))
    found = open_checkpoint(served_spec(role))
    assert found.sha256 == manifest.checkpoint_sha256, (
        f"the engine of '{manifest.model}' is of another checkpoint: run 'make build-engines'"
    )
    return found
