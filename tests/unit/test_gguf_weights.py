"""A GGUF becomes the checkpoint that it was made from: weights, config.json, refusals."""

import json

import numpy as np
import pytest
import torch
import transformers
from safetensors.numpy import load_file

from builders.errors import GgufError
from builders.gguf import convert as converting
from builders.gguf.convert import convert
from tests.fakes import gguf_files

SIZES = {
    "vocab_size": len(gguf_files.WORDS),
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
FAMILIES = {
    "llama": ("Llama", {}),
    "llama, tied": ("Llama", {"tie_word_embeddings": True}),
    "llama, biases": ("Llama", {"attention_bias": True}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("Qwen3", {}),
}


def make_model(family: str):
    torch.manual_seed(7)
    name, changes = FAMILIES[family]
    config = getattr(transformers, f"{name}Config")(**SIZES | changes)
    model = getattr(transformers, f"{name}ForCausalLM")(config)
    for values in model.parameters():  # norms and biases begin as ones and zeros
        torch.nn.init.normal_(values, 0.3, 0.2)
    return model.eval()


@pytest.fixture
def parts():
    """Fields and tensors of a small Llama, to change one of them."""
    model = make_model("llama")
    fields = gguf_files.model_fields(model.config, "llama") | gguf_files.tokenizer()
    return fields, gguf_files.model_tensors(model, "llama")


def converted(tmp_path, fields, tensors, exact=True, kind=gguf_files.floats):
    encoded = {name: kind(values) for name, values in tensors.items()}
    file = gguf_files.write(tmp_path / "x.gguf", fields, encoded)
    folder = tmp_path / "folder"
    folder.mkdir()
    convert(file, folder, exact)
    return folder


@pytest.mark.parametrize("family", FAMILIES)
def test_the_original_model_comes_back(tmp_path, family):
    model = make_model(family)
    architecture = family.split(",", maxsplit=1)[0]
    fields = gguf_files.model_fields(model.config, architecture) | gguf_files.tokenizer()
    folder = converted(tmp_path, fields, gguf_files.model_tensors(model, architecture))
    back = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert type(back) is type(model)
    for name, values in model.state_dict().items():
        assert torch.equal(back.state_dict()[name], values), name
    ids = torch.tensor([[1, 5, 9, 3, 8, 2, 11]])
    assert torch.equal(back(ids).logits, model(ids).logits)


def test_weights_are_stored_in_16_bits_unless_float32_is_asked_for(tmp_path, parts):
    fields, tensors = parts
    stored = load_file(converted(tmp_path, fields, tensors, exact=False) / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    assert stored[name].dtype == np.float16
    assert np.array_equal(stored[name], tensors["blk.1.ffn_up.weight"].astype(np.float16))
    assert json.loads((tmp_path / "folder/config.json").read_text())["torch_dtype"] == "float16"


def test_a_file_in_bf16_stays_bf16(tmp_path, parts):
    def bf16(values):
        if values.ndim == 1:
            return gguf_files.floats(values)
        top = (values.astype("<f4").view("<u4") >> 16).astype("<u2")
        return "BF16", values.shape, top.tobytes()

    converted(tmp_path, *parts, exact=False, kind=bf16)
    assert json.loads((tmp_path / "folder/config.json").read_text())["torch_dtype"] == "bfloat16"


def test_many_weights_are_spread_over_files_with_an_index(tmp_path, parts, monkeypatch):
    monkeypatch.setattr(converting, "_SHARD_BYTES", 20_000)
    folder = converted(tmp_path, *parts)
    places = json.loads((folder / "model.safetensors.index.json").read_text())["weight_map"]
    files = sorted(file.name for file in folder.glob("*.safetensors"))
    assert sorted(set(places.values())) == files
    assert len(files) > 2
    back = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert torch.equal(back.state_dict()["lm_head.weight"], make_model("llama").lm_head.weight)


def config_of(tmp_path, parts, fields=(), tensors=()):
    folder = converted(tmp_path, parts[0] | dict(fields), parts[1] | dict(tensors))
    return json.loads((folder / "config.json").read_text())


def test_sizes_are_written_as_a_human_would(tmp_path, parts):
    config = config_of(tmp_path, parts)
    assert {name: config[name] for name in SIZES} == SIZES
    assert config["rope_theta"] == 10000.0
    assert "rope_scaling" not in config


def test_llama_3_scaling_is_read_off_its_frequencies(tmp_path, parts):
    model_config = transformers.LlamaConfig(**SIZES, rope_theta=500000.0, rope_scaling=dict(LLAMA3))
    rotary = transformers.LlamaForCausalLM(model_config).model.rotary_emb
    plain = 1 / 500000.0 ** (np.arange(0, 16, 2) / 16)
    factors = np.array(plain / rotary.inv_freq.numpy(), np.float32)
    config = config_of(
        tmp_path, parts, {"llama.rope.freq_base": 500000.0}, {"rope_freqs.weight": factors}
    )
    assert config["rope_scaling"] == LLAMA3
    back = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "folder")
    assert torch.equal(back.model.rotary_emb.inv_freq, rotary.inv_freq)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("none", None),
        ("linear", {"rope_type": "linear", "factor": 4.0}),
        ("yarn", {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}),
    ],
)
def test_rope_scaling_by_fields(tmp_path, parts, kind, expected):
    fields = {"type": kind, "factor": 4.0, "original_context_length": 16}
    named = {f"llama.rope.scaling.{key}": value for key, value in fields.items()}
    assert config_of(tmp_path, parts, named).get("rope_scaling") == expected
    assert transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "folder")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"general.architecture": "gemma3"},
            "field 'general.architecture' is 'gemma3'; possible: llama, qwen2, qwen3",
        ),
        ({"general.type": "mmproj"}, "field 'general.type' is 'mmproj'; possible: model"),
        ({"split.count": 3}, "field 'split.count' is 3: it is one part of a split model"),
        ({"llama.expert_count": 8}, "field 'llama.expert_count' is 8; possible: 0"),
        ({"llama.rope.dimension_count": 8}, "field 'llama.rope.dimension_count' is 8; possible"),
        ({"llama.rope.scaling.attn_factor": 0.5}, "attn_factor' is 0.5; possible: 1"),
        ({"llama.attention.value_length": 8}, "attention.value_length' is 8; possible: 16"),
        ({"llama.rope.freq_base": 0.0}, "field 'llama.rope.freq_base' is 0.0; possible: above 0"),
        ({"llama.block_count": 0}, "field 'llama.block_count' is 0; possible: 1 or more"),
        ({"llama.block_count": 2**31}, "is 2147483648; the file has 21 tensors"),
        ({"llama.block_count": 3}, "tensor 'blk.2.attn_q.weight' is missing; llama needs it"),
        ({"llama.attention.head_count_kv": [2, 1]}, "is a list; possible: one int"),
        ({"llama.rope.scaling.type": "longrope"}, "is 'longrope'; possible: none, linear, yarn"),
        (
            {"llama.feed_forward_length": 65},
            "tensor 'blk.0.ffn_gate.weight' has the shape [64, 32]; by the fields it is [65, 32]",
        ),
    ],
)
def test_what_can_not_be_converted_is_named(tmp_path, parts, change, sentence):
    with pytest.raises(GgufError) as caught:
        converted(tmp_path, parts[0] | change, parts[1])
    assert sentence in str(caught.value)


@pytest.mark.parametrize("field", ["llama.block_count", "llama.context_length"])
def test_a_field_that_is_needed_is_named(tmp_path, parts, field):
    del parts[0][field]
    with pytest.raises(GgufError, match=f"field '{field}' is missing"):
        converted(tmp_path, *parts)


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("blk.0.ffn_gate_exps.weight", np.ones((4, 4)), "is not known in the architecture llama"),
        ("rope_freqs.weight", np.arange(1.0, 9.0), "scales RoPE in another way than Llama 3.1"),
        ("output_norm.weight", np.full(32, np.nan), "holds values that are not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, parts, name, values, sentence):
    with pytest.raises(GgufError, match=f"tensor '{name}' {sentence}"):
        converted(tmp_path, parts[0], parts[1] | {name: values})


def test_a_value_beyond_float16_says_what_is_possible(tmp_path, parts):
    parts[1]["output.weight"][0, 0] = 70000
    with pytest.raises(GgufError, match=r"lm_head\.weight is beyond float16; possible: precision"):
        converted(tmp_path, *parts, exact=False)
