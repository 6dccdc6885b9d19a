"""A reader's checkpoint: an LLM's weights with trained matrices added, scored by two tokens."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from builders import checkpoint_files, converted
from builders.answer_reader import TEMPLATE, is_reader, reader_folder
from builders.checkpoint import Checkpoint
from builders.encoder_models import score_tokens
from builders.errors import BuildError
from builders.spec import ModelSpec
from tests.fakes import folders

WEIGHT = "model.layers.1.mlp.up_proj"
WIDTH, INNER, RANK = 8, 12, 2


@pytest.fixture
def llm(tmp_path) -> Path:
    config = LlamaConfig(
        vocab_size=9,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    LlamaForCausalLM(config).half().save_pretrained(tmp_path / "llm")
    folders.word_level(["yes", "no"]).save(str(tmp_path / "llm" / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "chat_template": "{{ messages }}"}
    (tmp_path / "llm" / "tokenizer_config.json").write_text(json.dumps(settings))
    return tmp_path / "llm"


@pytest.fixture
def spec(tmp_path, monkeypatch) -> ModelSpec:
    monkeypatch.setattr(checkpoint_files, "ROOT", tmp_path)
    monkeypatch.setattr(converted, "CONVERTED", tmp_path / "converted")
    return ModelSpec(
        name="mine",
        folder=".",
        role="reader",
        source="there",
        max_tokens=320,
        answer_weights="own.safetensors",
    )


def matrices(tmp_path: Path, name: str = WEIGHT, inner: int = INNER) -> dict[str, torch.Tensor]:
    made = {f"{name}.lora_A": torch.randn(RANK, WIDTH), f"{name}.lora_B": torch.randn(inner, RANK)}
    save_file(made, tmp_path / "own.safetensors")
    return made


def test_the_product_of_the_matrices_is_added_and_nothing_else_changes(tmp_path, llm, spec):
    made = matrices(tmp_path)
    before, after = (load_file(at / "model.safetensors") for at in (llm, reader_folder(spec, llm)))
    assert before.keys() == after.keys()
    assert [name for name in before if not before[name].equal(after[name])] == [f"{WEIGHT}.weight"]
    added = made[f"{WEIGHT}.lora_B"] @ made[f"{WEIGHT}.lora_A"]
    found = after[f"{WEIGHT}.weight"]
    assert found.dtype == torch.float16
    torch.testing.assert_close(
        found.float(), before[f"{WEIGHT}.weight"].float() + added, rtol=1e-3, atol=2e-3
    )


def test_it_is_a_reranker_of_sentence_transformers(tmp_path, llm, spec):
    matrices(tmp_path)
    assert is_reader(spec, llm)
    assert not is_reader(spec.model_copy(update={"answer_weights": None}), llm)
    folder = reader_folder(spec, llm)
    assert score_tokens(spec, Checkpoint(folder, "")) == (4, 5)
    assert (folder / "chat_template.jinja").read_text() == TEMPLATE
    assert "chat_template" not in json.loads((folder / "tokenizer_config.json").read_text())
    assert reader_folder(spec, llm) == folder, "it is kept"


def test_other_matrices_make_another_folder(tmp_path, llm, spec):
    matrices(tmp_path)
    first = reader_folder(spec, llm)
    matrices(tmp_path)
    assert reader_folder(spec, llm) != first


@pytest.mark.parametrize(
    ("name", "inner", "says"),
    [
        (WEIGHT, INNER + 1, f"{WEIGHT}.weight has another shape in the checkpoint"),
        ("model.layers.7.mlp.up_proj", INNER, "layers.7.mlp.up_proj.lora_A is of a weight that"),
    ],
)
def test_matrices_of_another_model_are_refused(tmp_path, llm, spec, name, inner, says):
    matrices(tmp_path, name, inner)
    with pytest.raises(BuildError, match=says):
        reader_folder(spec, llm)


def test_a_tokenizer_without_the_two_words_is_refused(tmp_path, llm, spec):
    matrices(tmp_path)
    folders.word_level(["y", "n"]).save(str(llm / "tokenizer.json"))
    with pytest.raises(BuildError, match="no tokens ' yes' and ' no'"):
        reader_folder(spec, llm)
