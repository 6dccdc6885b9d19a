"""A checkpoint that the spec's role can't use is refused before it is loaded."""

import json

import pytest

from builders.checkpoint import Checkpoint
from builders.checkpoint_kind import check_kind, quantization
from builders.encoder_checkpoint import check_own_code
from builders.errors import BuildError
from builders.spec import ModelSpec

BERT = {"model_type": "bert", "architectures": ["BertModel"]}
CROSS_ENCODER = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "id2label": {"0": "LABEL_0"},
}
LLM = {"model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"]}
CODE = {"auto_map": {"AutoConfig": "configuration_x.Config", "AutoModel": "modeling_x.Model"}}


def spec(role: str) -> ModelSpec:
    return ModelSpec(name="mine", role=role, source="there", max_tokens=512)


@pytest.mark.parametrize(
    ("role", "config", "has_modules"),
    [
        ("embedder", BERT, False),
        ("embedder", {"model_type": "bert"}, False),
        ("embedder", BERT | {"architectures": ["BertForMaskedLM"]}, False),
        ("embedder", LLM, True),
        ("embedder", CROSS_ENCODER, True),
        ("reranker", CROSS_ENCODER, False),
        ("reranker", LLM, True),
        ("reranker", {"model_type": "bert"}, False),
        ("llm", LLM, False),
        ("llm", LLM | CODE, False),
        ("llm", LLM | {"quantization_config": {"quant_method": "fp8"}}, False),  # GPUs read it
    ],
)
def test_a_checkpoint_of_the_role_is_taken(role, config, has_modules):
    check_kind(spec(role), config, has_modules)


@pytest.mark.parametrize(
    ("role", "config", "says"),
    [
        ("embedder", CROSS_ENCODER, 'BertForSequenceClassification: write role = "reranker"'),
        ("embedder", LLM, 'names Qwen3ForCausalLM: write role = "llm", or name an embedder'),
        ("reranker", LLM, "names Qwen3ForCausalLM, which has no score; possible: a cross-encoder"),
        (
            "embedder",
            {"model_type": "clip", "text_config": {}, "vision_config": {}},
            "of a multimodal model (vision_config); possible: a model of text alone",
        ),
        ("reranker", BERT, "names BertModel, which has no score; possible: a cross-encoder"),
        (
            "reranker",
            CROSS_ENCODER | {"id2label": {"0": "contradiction", "1": "neutral", "2": "entails"}},
            "has 3 labels (contradiction, neutral, entails), so it is a classifier",
        ),
        (
            "llm",
            CROSS_ENCODER,
            'BertForSequenceClassification: write role = "reranker", or name an llm',
        ),
        (
            "embedder",
            BERT | {"model_type": "new"},
            "names the model_type 'new', which transformers",
        ),
        ("llm", {"model_type": "new"} | CODE, "brings code of its own (auto_map), which a build n"),
        ("embedder", {}, "names the model_type '', which transformers"),
        (
            "embedder",
            BERT | {"quantization_config": {"quant_method": "bitsandbytes"}},
            "weights are quantized (bitsandbytes); possible: the original checkpoint",
        ),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused_with_what_is_possible(role, config, says):
    with pytest.raises(BuildError) as caught:
        check_kind(spec(role), config, has_modules=False)
    assert str(caught.value).startswith("model 'mine': ")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("file", "kind"),
    [("config.json", "AutoModel"), ("tokenizer_config.json", "AutoTokenizer")],
)
def test_an_encoder_with_code_of_its_own_is_refused(tmp_path, file, kind):
    code = {"AutoConfig": "configuration_x.Config"}
    (tmp_path / file).write_text(json.dumps({"auto_map": code}))
    check_own_code(spec("embedder"), Checkpoint(tmp_path, ""))
    (tmp_path / file).write_text(json.dumps({"auto_map": code | {kind: "x.X"}}))
    with pytest.raises(BuildError) as caught:
        check_own_code(spec("embedder"), Checkpoint(tmp_path, ""))
    assert str(caught.value) == (
        f"model 'mine': {file} brings code of its own for {kind} (auto_map), which a build never "
        f"runs. Where transformers' own class does the same, remove auto_map from {file}"
    )


@pytest.mark.parametrize(
    ("config", "method"),
    [
        ({}, ""),
        ({"quantization_config": None}, ""),
        ({"quantization_config": {"quant_method": "gptq"}}, "gptq"),
        ({"quantization_config": {}, "compression_config": {"quant_method": "x"}}, "x"),
        ({"quantization_config": {"bits": 4}}, "unknown"),
        ({"quantization": {"group_size": 64, "bits": 4}}, "MLX"),
    ],
)
def test_quantized_weights_are_known_by_every_name_of_their_settings(config, method):
    assert quantization(config).get("quant_method", "") == method


def test_notes_in_a_file_beside_config_json_count_too():
    beside = {"quantization": {"quant_algo": "FP8"}}
    assert quantization({}, beside) == {"quant_method": "modelopt", "quant_algo": "FP8"}
    config = {"quantization_config": {"quant_method": "modelopt"}}
    assert quantization(config, beside) == quantization({}, beside)
