"""The reranker that is trained from an embedder, on a tiny BERT with weights of chance."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from builders import checkpoint_files
from builders.answer_encoder import _marks
from builders.checkpoint import Checkpoint
from builders.encoder_checkpoint import check_answer_encoder
from builders.encoder_models import load_classifier
from builders.errors import BuildError
from builders.spec import ModelSpec
from tests.fakes import folders

WIDTH = 16
QUERY, PASSAGE = [101, 2500, 1999, 2700, 1029, 102], [2600, 2700, 2001, 2500, 102]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = BertConfig(vocab_size=3000, intermediate_size=32, **sizes)
    BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    folders.word_level(["the", "is", "file"]).save(str(folder / "tokenizer.json"))
    return Checkpoint(folder, "sha")


@pytest.fixture
def spec(checkpoint, tmp_path, monkeypatch) -> ModelSpec:
    monkeypatch.setattr(checkpoint_files, "ROOT", tmp_path)
    torch.manual_seed(1)
    matrices = BertModel.from_pretrained(checkpoint.path, add_pooling_layer=False).state_dict()
    weights = {f"bert.{n}": v + 0.1 * torch.randn(v.shape) for n, v in matrices.items()}
    weights = {name: value for name, value in weights.items() if "embeddings" not in name}
    own = {"match.weight": (4, WIDTH), "gate.weight": (1, WIDTH), "head.weight": (1, 2 * WIDTH)}
    own |= {"head.bias": (1,), "scale": (2,)}
    save_file(weights | {n: torch.randn(s) for n, s in own.items()}, tmp_path / "own.safetensors")
    return ModelSpec(
        name="mine",
        folder=".",
        role="reranker",
        source="there",
        max_tokens=64,
        answer_weights="own.safetensors",
    )


def row(query: list[int], passage: list[int], padding: int = 0) -> dict[str, torch.Tensor]:
    ids = query + passage + [0] * padding
    types = [0] * len(query) + [1] * len(passage) + [0] * padding
    mask = [1] * (len(ids) - padding) + [0] * padding
    return {
        "input_ids": torch.tensor([ids]),
        "attention_mask": torch.tensor([mask]),
        "token_type_ids": torch.tensor([types]),
    }


def test_padding_changes_nothing(checkpoint, spec):
    encoder = load_classifier(spec, checkpoint, torch.float32)
    with torch.no_grad():
        found = [encoder(**row(QUERY, PASSAGE, padding)).logits.item() for padding in (0, 1, 9)]
        assert found == pytest.approx([found[0]] * 3, abs=1e-5)
        assert encoder(**row(QUERY, PASSAGE[1:])).logits.item() != pytest.approx(found[0], abs=1e-3)


def test_a_row_without_a_question_has_a_number(checkpoint, spec):
    encoder = load_classifier(spec, checkpoint, torch.float32)
    with torch.no_grad():
        assert encoder(**row([], PASSAGE)).logits.isfinite().all()
        assert encoder(**row([101, 102], [102])).logits.isfinite().all()


def test_tokens_of_both_texts_are_marked():
    found = _marks(*(row(QUERY, PASSAGE)[name] for name in ("input_ids", "token_type_ids")))
    assert found.tolist() == [[0, 1, 0, 1, 0, 0, 2, 3, 2, 3, 2]]


def test_weights_that_are_not_there_are_refused(checkpoint, spec, tmp_path):
    (tmp_path / "own.safetensors").unlink()
    with pytest.raises(BuildError, match=r"mine.*answer_weights: no file \./own\.safetensors"):
        check_answer_encoder(spec, checkpoint)


def test_weights_of_another_model_are_refused(checkpoint, spec, tmp_path: Path):
    save_file({"head.bias": torch.zeros(1)}, tmp_path / "own.safetensors")
    with pytest.raises(BuildError, match=r"own\.safetensors is of a model of another shape"):
        load_classifier(spec, checkpoint, torch.float32)


def test_another_vocabulary_is_refused(spec, tmp_path):
    BertConfig(vocab_size=3).save_pretrained(tmp_path)
    folders.word_level(["a", "!"]).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(BuildError, match="a 'bert' whose vocabulary has '!' at 5; possible"):
        check_answer_encoder(spec, Checkpoint(tmp_path, "sha"))
