"""Builds of tiny encoders by the real exporter, compared with their reference implementation.

Nothing is compared here: a build that finishes has been.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sentence_transformers.sentence_transformer.modules import Dense
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    ModernBertConfig,
    MPNetConfig,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from builders import encoder_reference
from builders.engine import build_engine
from builders.errors import BuildError
from builders.spec import ModelSpec, load_sku
from ensembles.manifest import Manifest, read_manifest
from tests.fakes import folders
from tests.fakes.checkpoints import build_into, save_with_loud_weights

SIZES = {
    "vocab_size": 400,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "pad_token_id": 1,
}
TYPES = "sentence_transformers.models"
BERT = BertConfig(**SIZES)
QWEN3 = {"num_key_value_heads": 2, "head_dim": 16, "bos_token_id": None, "eos_token_id": 0}
MODERN = {"local_attention": 32, "global_attn_every_n_layers": 2}
MODERN |= {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
DEBERTA = {"relative_attention": True, "position_buckets": 16, "pos_att_type": ["p2c", "c2p"]}
DEBERTA |= {"type_vocab_size": 0, "position_biased_input": False, "share_att_key": True}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_into(monkeypatch, tmp_path)


def checkpoint(path: Path, config: PretrainedConfig, kind: type = AutoModel) -> Path:
    torch.manual_seed(0)
    save_with_loud_weights(kind.from_config(config), path)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=folders.byte_level(), pad_token="</s>", eos_token="</s>"
    )
    tokenizer.save_pretrained(path)
    return path


def reranker(path: Path, config: PretrainedConfig) -> Path:
    config.num_labels = 1
    return checkpoint(path, config, AutoModelForSequenceClassification)


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def embedder(path: Path, config: PretrainedConfig, modes: tuple[str, ...], *more: str) -> Path:
    """With sentence-transformers' files; a Dense among `more` has 32 values."""
    checkpoint(path, config)
    kinds = ("Transformer", "Pooling", *more)
    listed = [
        {"idx": n, "name": str(n), "path": f"{n}_{kind}" if n else "", "type": f"{TYPES}.{kind}"}
        for n, kind in enumerate(kinds)
    ]
    write(path / "modules.json", listed)
    pooling = {f"pooling_mode_{mode}": True for mode in modes} | {"word_embedding_dimension": 64}
    write(path / "1_Pooling" / "config.json", {"pooling_mode_mean_tokens": False} | pooling)
    if "Dense" in more:
        (path / "2_Dense").mkdir()
        Dense(64 * len(modes), 32).save(str(path / "2_Dense"))
    return path


def build(source: Path, role: str = "embedder", **changes: object) -> Manifest:
    spec = ModelSpec(name="tiny", role=role, source=str(source), max_tokens=128, **changes)
    return read_manifest(build_engine(spec, load_sku("cpu"), lambda _: None).folder)


@pytest.mark.parametrize(
    ("make", "changes"),
    [
        pytest.param(lambda at: checkpoint(at, BERT), {}, id="no modules"),
        pytest.param(
            lambda at: embedder(at, BERT, ("cls_token", "mean_tokens"), "Dense"),
            {},
            id="two pooling modes and Dense, not normalized",
        ),
        pytest.param(
            lambda at: embedder(at, MPNetConfig(**SIZES), ("mean_tokens",), "Normalize"),
            {"dimensions": 16},
            id="MPNet, cut",
        ),
        pytest.param(
            lambda at: embedder(at, ModernBertConfig(**SIZES, **MODERN), ("max_tokens",)),
            {},
            id="local attention",
        ),
        pytest.param(
            lambda at: embedder(at, Qwen3Config(**SIZES, **QWEN3), ("lasttoken",), "Normalize"),
            {},
            id="causal, last token",
        ),
    ],
)
def test_embedders_compute_what_sentence_transformers_does(make, changes, tmp_path):
    said = build(make(tmp_path / "checkpoint"), query_prefix="query: ", **changes).comparison
    assert said.startswith("18 rows, alone and together, as the reference implementation's")


def test_more_dimensions_than_an_embedding_has_are_refused(tmp_path):
    with pytest.raises(BuildError, match="dimensions 65 in its spec, and its embeddings have 64"):
        build(checkpoint(tmp_path / "checkpoint", BERT), dimensions=65)


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(lambda: Qwen3Config(**SIZES, **QWEN3), id="causal"),
        pytest.param(lambda: DebertaV2Config(**SIZES, **DEBERTA), id="DeBERTa"),
        pytest.param(
            lambda: ModernBertConfig(**SIZES, **MODERN, classifier_pooling="mean"), id="mean"
        ),
    ],
)
def test_rerankers_compute_what_transformers_does(config: Callable, tmp_path):
    said = build(reranker(tmp_path / "checkpoint", config()), "reranker").comparison
    assert said.startswith("6 rows, alone and together, as the reference implementation's")


def test_texts_are_cut_at_the_models_positions(tmp_path):
    config = BertConfig(**SIZES, max_position_embeddings=64)
    assert build(checkpoint(tmp_path / "checkpoint", config)).max_tokens == 64


@pytest.mark.parametrize(
    ("part", "says"), [("classifier", "classifier.weight"), ("layer.1.", "encoder.layer.1.")]
)
def test_missing_weights_are_refused_by_name(part, says, tmp_path):
    path = reranker(tmp_path / "checkpoint", BertConfig(**SIZES))
    weights = load_file(path / "model.safetensors")
    kept = {name: value for name, value in weights.items() if part not in name}
    save_file(kept, path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BuildError, match=says) as caught:
        build(path, "reranker")
    assert "Traceback" not in str(caught.value)
    assert not list((tmp_path / "engines").glob("cpu/*/[!.]*/manifest.json"))


def test_an_engine_that_computes_something_else_is_not_published(tmp_path, monkeypatch):
    def off(*_: object) -> np.ndarray:
        return np.ones((18, 64), np.float32)

    monkeypatch.setattr(encoder_reference, "_embeddings", off)
    with pytest.raises(BuildError, match="are not what the reference implementation gives"):
        build(checkpoint(tmp_path / "checkpoint", BERT))
    assert not list((tmp_path / "engines").glob("cpu/*/[!.]*/manifest.json"))
