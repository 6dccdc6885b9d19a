"""Builds of tiny LLMs by the real exporter, compared with transformers before publication."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    Gemma2Config,
    LlamaConfig,
    Olmo3Config,
    PretrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from builders import llm_checkpoint
from builders.engine import Engine, build_engine
from builders.errors import BuildError
from builders.spec import ModelSpec, SamplingSpec, load_sku
from ensembles.manifest import Manifest, read_manifest
from tests.fakes import folders
from tests.fakes.checkpoints import build_into, save_with_loud_weights

GEMMA_LIKE = (  # refuses a system turn, and its tokens are not ASCII
    "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for m in messages %}<｜{{ m.role }}｜>{{ m.content }}<｜end▁of▁turn｜>"
    "{% endfor %}{% if add_generation_prompt %}<｜model｜>{% endif %}"
)
SIZES = {
    "vocab_size": 400,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build_into(monkeypatch, tmp_path)


def checkpoint(path: Path, config: PretrainedConfig) -> Path:
    torch.manual_seed(0)
    save_with_loud_weights(AutoModelForCausalLM.from_config(config), path)
    tokenizer = folders.byte_level()
    tokenizer.add_special_tokens(["<｜end▁of▁turn｜>", "<｜end▁of▁text｜>"])
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<｜end▁of▁text｜>")
    fast.save_pretrained(path)
    settings = json.loads((path / "tokenizer_config.json").read_text(encoding="utf-8"))
    text = json.dumps(settings | {"chat_template": GEMMA_LIKE}, ensure_ascii=False)
    (path / "tokenizer_config.json").write_text(text, encoding="utf-8")
    return path


def spec(path: Path, precision: str = "fp32", sampled_tokens: int = 16) -> ModelSpec:
    return ModelSpec(
        name="tiny",
        role="llm",
        source=str(path),
        precision=precision,
        max_tokens=512,
        sampling=SamplingSpec(max_tokens=sampled_tokens),
    )


def build(model: ModelSpec, said: list[str] | None = None) -> Engine:
    return build_engine(model, load_sku("cpu"), (said if said is not None else []).append)


def manifest(engine: Engine) -> Manifest:
    return read_manifest(engine.folder)


def test_gemma_2_in_int4_with_widths_that_128_does_not_divide_then_other_settings(
    tmp_path: Path,
) -> None:
    """optimum-intel 2.2 alone refuses the family, and nncf the widths."""
    config = Gemma2Config(
        **SIZES,
        hidden_size=96,
        intermediate_size=192,
        head_dim=24,
        query_pre_attn_scalar=24,
        sliding_window=32,
    )
    path = checkpoint(tmp_path / "mödell", config)
    first = build(spec(path, "int4"))
    made = manifest(first)
    assert made.comparison.startswith("greedy tokens of 6 prompts, alone and together, as")
    ids = [folders.byte_level().get_vocab_size() + i for i in range(2)]
    assert made.eos_token_ids == (0, *ids), "of config.json, chat template and tokenizer"
    assert (made.vocabulary, made.prompt.system[:6]) == (400, "Answer")
    said: list[str] = []
    second = build(spec(path, "int4", sampled_tokens=24), said)
    assert "only settings have changed: nothing is exported" in said
    weights = [engine.folder / "openvino_model.bin" for engine in (first, second)]
    assert weights[0].samefile(weights[1])
    assert manifest(second).sampling.max_tokens == 24
    assert manifest(second).comparison == made.comparison
    assert manifest(first) == made, "a published folder stays as it is"


def test_olmo_3_looks_back_as_far_as_its_window(tmp_path: Path) -> None:
    """The exporter of OLMo 2 writes masks in which OpenVINO sees no window."""
    config = Olmo3Config(**SIZES, hidden_size=64, intermediate_size=128, sliding_window=32)
    assert (
        "greedy tokens of 6" in manifest(build(spec(checkpoint(tmp_path / "m", config)))).comparison
    )


def test_an_engine_that_answers_otherwise_than_transformers_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph keeps the angles that `dynamic` RoPE has for short texts."""
    monkeypatch.setattr(llm_checkpoint, "check_positions", lambda *_: None)
    config = LlamaConfig(
        **SIZES | {"max_position_embeddings": 64},
        hidden_size=64,
        intermediate_size=128,
        rope_scaling={"rope_type": "dynamic", "factor": 8.0},
    )
    with pytest.raises(BuildError, match="are not what the reference implementation gives"):
        build(spec(checkpoint(tmp_path / "m", config)))
    assert not list((tmp_path / "engines").glob("cpu/*/[!.]*/manifest.json"))


def test_weights_that_are_missing_are_named_before_the_export(tmp_path: Path) -> None:
    config = Qwen2Config(**SIZES, hidden_size=64, intermediate_size=128, tie_word_embeddings=False)
    file = checkpoint(tmp_path / "m", config) / "model.safetensors"
    weights = load_file(file)
    del weights["lm_head.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BuildError) as caught:
        build(spec(file.parent))
    assert str(caught.value) == (
        "model 'tiny': the checkpoint lacks lm_head.weight, which the model of its config.json "
        "needs"
    )
