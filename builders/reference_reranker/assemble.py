"""The reference reranker: a small cross-encoder, cut from all-MiniLM-L6-v2 and trained.

Only what training changed is kept in git, as float16; README.md says how it was made. ``assemble``
joins it with the embeddings of the MiniLM folder into an ordinary checkpoint of
``BertForSequenceClassification`` with one label, whose logit says how well a passage answers a
query.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save

TRAINED = Path(__file__).parent / "trained.safetensors"
# Six, the lower three frozen, ranked hand-written questions no better after 200 steps of training
# (0.80 right both), and take twice the time to serve.
LAYERS = 3
EMBEDDINGS = ("word_embeddings", "position_embeddings", "token_type_embeddings", "LayerNorm")
TOKENIZER_FILES = ("tokenizer_config.json", "special_tokens_map.json", "vocab.txt")

Tensors = dict[str, npt.NDArray[np.float32]]


def assemble(minilm_folder: Path, output: Path, trained: Path = TRAINED) -> None:
    """Write the complete checkpoint folder ``output``; the same inputs give the same bytes."""
    output.mkdir(parents=True, exist_ok=True)
    learned = {name: value.astype(np.float32) for name, value in load_file(trained).items()}
    tensors = frozen_tensors(minilm_folder) | learned
    # Not save_file: its files are readable by their owner alone, and servers run as other users.
    (output / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    _write_json(output / "config.json", checkpoint_config(minilm_folder))
    _write_json(output / "tokenizer.json", _plain_tokenizer(minilm_folder))
    for name in TOKENIZER_FILES:
        shutil.copyfile(minilm_folder / name, output / name)


def frozen_tensors(minilm_folder: Path) -> Tensors:
    """The embedder's embedding tables under the names a sequence classifier gives them."""
    kept = tuple(f"embeddings.{name}." for name in EMBEDDINGS)
    everything = load_file(minilm_folder / "model.safetensors")
    return {f"bert.{name}": value for name, value in everything.items() if name.startswith(kept)}


def checkpoint_config(minilm_folder: Path) -> dict[str, object]:
    """The embedder's configuration, as a classifier with ``LAYERS`` layers and one label."""
    config: dict[str, object] = _read_json(minilm_folder / "config.json")
    config.pop("_name_or_path", None)
    return config | {
        "architectures": ["BertForSequenceClassification"],
        "id2label": {"0": "relevance"},
        "label2id": {"relevance": 0},
        "num_hidden_layers": LAYERS,
        # sentence-transformers applies a sigmoid to one-label models unless it is told otherwise.
        "sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"},
    }


def _plain_tokenizer(minilm_folder: Path) -> dict[str, object]:
    """The embedder's tokenizer without its truncation and padding: lengths are the caller's."""
    return _read_json(minilm_folder / "tokenizer.json") | {"truncation": None, "padding": None}


def _read_json(path: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return content


def _write_json(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
