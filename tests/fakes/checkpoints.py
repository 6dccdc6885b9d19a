"""Checkpoint folders that pass the checks and can't be exported, and builds that export nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from builders import build_resources, encoder_reference, onnx_export
from builders import engine as engines
from builders.engine_trial import ASKED_FILE
from tests.fakes import folders


def make_checkpoint(path: Path) -> Path:
    """A tokenizer, a config and one small tensor."""
    path.mkdir(parents=True)
    folders.word_level(["a"]).save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"eos_token_id": 2, "model_type": "bert"}')
    save_file({"w": np.zeros((64, 64), np.float32)}, path / "model.safetensors")
    return path


def build_into(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """Builds keep their engines, steps and logs in `home`."""
    for name in ("ENGINES", "LOGS"):
        monkeypatch.setattr(engines, name, home / name.lower())


def save_with_loud_weights(model: Any, path: Path) -> None:
    """A transformers model whose random weights are so large that attention shows in results."""
    import torch

    with torch.no_grad():
        for weights in model.parameters():
            if weights.dim() >= 2:
                weights.mul_(4)
    model.save_pretrained(path)


def stub_encoder_builds(
    monkeypatch: pytest.MonkeyPatch, home: Path, export: Callable[..., object]
) -> None:
    """Build into `home` with `export` as the exporter, and compare with no reference."""
    build_into(monkeypatch, home)
    monkeypatch.setattr(build_resources, "_SPARE_BYTES", 0)
    monkeypatch.setattr(onnx_export, "export_encoder", export)

    def write_reference(*known: Any) -> None:
        (known[-1] / ASKED_FILE).write_text("[]")

    monkeypatch.setattr(encoder_reference, "write_reference", write_reference)
    monkeypatch.setattr(engines, "answers", lambda *_: {})
    monkeypatch.setattr(encoder_reference, "compare", lambda *_: "not compared")
