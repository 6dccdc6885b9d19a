"""The checkpoints behind the running engines, for reference implementations."""

import functools
import tempfile
from pathlib import Path

from builders.checkpoint import open_checkpoint
from builders.repository import engine_link
from builders.spec import ROOT, load_model
from ensembles.manifest import read_manifest


@functools.cache
def checkpoint(role: str) -> Path:
    """The Hugging Face folder of the model that plays `role` on the server."""
    manifest = read_manifest(engine_link(role))
    scratch = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    own = f"tests/models/{manifest.model}.toml"
    spec = load_model(own if (ROOT / own).is_file() else manifest.model)
    found = open_checkpoint(spec, scratch)
    assert found.sha256 == manifest.checkpoint_sha256, (
        f"the engine of '{manifest.model}' is of another checkpoint: run 'make build-engines'"
    )
    return found.path
