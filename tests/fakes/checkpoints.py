"""Checkpoint folders that pass the checks and can't be exported."""

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.fakes import folders


def make_checkpoint(path: Path) -> Path:
    """A tokenizer, a config and one small tensor."""
    path.mkdir(parents=True)
    folders.word_level(["a"]).save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"eos_token_id": 2}')
    save_file({"w": np.zeros((64, 64), np.float32)}, path / "model.safetensors")
    return path
