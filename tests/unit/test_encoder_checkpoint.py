"""What an encoder's checkpoint says beside its weights is honoured or refused by name."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from builders import encoder_reference as reference
from builders.checkpoint import Checkpoint
from builders.encoder_checkpoint import (
    check_modules,
    check_pairs,
    check_projection,
    dimensions,
    lowered_tokenizer,
    positions,
    prefixes,
    remark_on_pairs,
    remarks,
)
from builders.errors import BuildError
from builders.spec import ModelSpec
from ensembles.manifest import Prefixes
from tests.fakes import folders

BASE = "sentence_transformers.models."


def spec_of(role: str = "embedder", **changes: object) -> ModelSpec:
    fields = {"name": "mine", "role": role, "source": "there", "max_tokens": 64}
    return ModelSpec(**(fields | changes))


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


def modules(folder: Path, *kinds: str) -> None:
    listed = [{"type": kind, "path": f"{number}_x"} for number, kind in enumerate(kinds)]
    write(folder / "modules.json", listed)


def test_modules_that_the_export_honours_are_taken_with_their_weights(tmp_path):
    check_modules(spec_of(), tmp_path)  # without modules.json
    modules(tmp_path, *(BASE + kind for kind in ("Transformer", "Pooling", "Dense", "Normalize")))
    for folder in ("1_x", "2_x"):
        write(tmp_path / folder / "config.json", {"pooling_mode_mean_tokens": True})
    with pytest.raises(BuildError, match=r"modules\.json names .*2_x/model\.safetensors: no such"):
        check_modules(spec_of(), tmp_path)
    (tmp_path / "2_x" / "pytorch_model.bin").touch()
    check_modules(spec_of(), tmp_path)


def test_modules_without_a_pooling_make_no_embedding(tmp_path):
    modules(tmp_path, BASE + "Transformer", BASE + "Normalize")
    with pytest.raises(BuildError, match=r"modules\.json names no Pooling"):
        check_modules(spec_of(), tmp_path)


def test_a_chat_template_without_modules_would_make_texts_turns_of_a_chat(tmp_path):
    write(tmp_path / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    with pytest.raises(BuildError, match=r"chat template and there is no modules\.json"):
        check_modules(spec_of(), tmp_path)
    modules(tmp_path, BASE + "Transformer", BASE + "Pooling")
    write(tmp_path / "1_x" / "config.json", {"pooling_mode_lasttoken": True})
    check_modules(spec_of(), tmp_path)


def test_a_reranker_with_a_decoder_of_its_own_is_refused(tmp_path):
    write(tmp_path / "config.json", {"model_type": "t5", "is_encoder_decoder": True})
    with pytest.raises(BuildError, match=r"encoder with a decoder \(t5\)"):
        check_pairs(spec_of("reranker"), Checkpoint(tmp_path, ""))


@pytest.mark.parametrize("kind", [BASE + "WeightedLayerPooling", BASE + "BoW", "own_code.Pooling"])
def test_an_unknown_module_is_refused_by_name(tmp_path, kind):
    modules(tmp_path, BASE + "Transformer", kind)
    with pytest.raises(BuildError, match=f"module '{kind}'; possible are Transformer, Pooling"):
        check_modules(spec_of(), tmp_path)


@pytest.mark.parametrize("kind", ["Pooling", "Dense"])
def test_a_module_whose_folder_is_not_there_is_refused(tmp_path, kind):
    modules(tmp_path, BASE + "Transformer", BASE + kind)
    with pytest.raises(BuildError, match=r"modules\.json names .*1_x/config\.json: no such file"):
        check_modules(spec_of(), tmp_path)


def test_a_function_of_its_own_is_refused_for_it_would_be_replaced_by_tanh(tmp_path):
    modules(tmp_path, BASE + "Transformer", BASE + "Pooling", BASE + "Dense")
    write(tmp_path / "1_x" / "config.json", {})
    write(tmp_path / "2_x" / "config.json", {"activation_function": "own_code.Swish"})
    (tmp_path / "2_x" / "pytorch_model.bin").touch()
    with pytest.raises(
        BuildError, match=r"2_x/config\.json: activation_function 'own_code\.Swish'"
    ):
        check_modules(spec_of(), tmp_path)


def test_cut_weights_of_a_module_are_found(tmp_path):
    modules(tmp_path, BASE + "Transformer", BASE + "Pooling", BASE + "Dense")
    for folder in ("1_x", "2_x"):
        write(tmp_path / folder / "config.json", {})
    (tmp_path / "2_x" / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(BuildError, match=r"2_x/model\.safetensors is damaged or cut short"):
        check_modules(spec_of(), tmp_path)


def test_pooling_without_the_prompt_is_refused(tmp_path):
    modules(tmp_path, BASE + "Transformer", BASE + "Pooling")
    write(tmp_path / "1_x" / "config.json", {"include_prompt": False})
    with pytest.raises(BuildError, match="include_prompt false"):
        check_modules(spec_of(), tmp_path)


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "modules.json").write_text("[{", encoding="utf-8")
    with pytest.raises(BuildError, match=r"modules\.json is not JSON"):
        check_modules(spec_of(), tmp_path)


@pytest.mark.parametrize(
    ("config", "spec", "expected"),
    [
        ({}, {}, Prefixes()),
        (
            {"prompts": {"query": "query: ", "passage": "passage: "}},
            {},
            Prefixes("query: ", "passage: "),
        ),
        ({"prompts": {"query": "Find: ", "document": ""}}, {}, Prefixes("Find: ")),
        (
            {"prompts": {"x": "X "}, "default_prompt_name": "x"},
            {},
            Prefixes("X ", "X ", "X "),
        ),
        (
            {"prompts": {"query": "theirs "}},
            {"query_prefix": "", "passage_prefix": "ours "},
            Prefixes("", "ours "),
        ),
    ],
)
def test_prefixes_are_the_checkpoints_unless_the_spec_has_its_own(tmp_path, config, spec, expected):
    write(tmp_path / "config_sentence_transformers.json", config)
    assert prefixes(spec_of(**spec), tmp_path) == expected


def test_a_default_prompt_that_is_not_there_is_refused(tmp_path):
    write(tmp_path / "config_sentence_transformers.json", {"default_prompt_name": "gone"})
    with pytest.raises(BuildError, match="default_prompt_name 'gone'; its prompts are none"):
        prefixes(spec_of(), tmp_path)


def test_a_prompt_around_plain_pairs_is_refused(tmp_path):
    prompts = {"prompts": {"web": "Judge: "}, "default_prompt_name": "web"}
    write(tmp_path / "config_sentence_transformers.json", prompts)
    with pytest.raises(BuildError, match="default prompt, and a reranker's is only written in a"):
        check_pairs(spec_of("reranker"), Checkpoint(tmp_path, ""))
    write(tmp_path / "tokenizer_config.json", {"chat_template": "{{ messages }}"})
    check_pairs(spec_of("reranker"), Checkpoint(tmp_path, ""))


def test_embeddings_are_cut_as_the_checkpoint_says_unless_the_spec_does(tmp_path):
    assert dimensions(spec_of(), tmp_path) == 0
    write(tmp_path / "config_sentence_transformers.json", {"truncate_dim": 32})
    assert dimensions(spec_of(), tmp_path) == 32
    assert dimensions(spec_of(dimensions=16), tmp_path) == 16


def test_a_colbert_is_refused_for_its_matrix_would_be_left_out():
    check_projection(spec_of(), ["cls.predictions.bias", "lm_head.weight"])
    with pytest.raises(BuildError, match=r"has linear\.weight, as ColBERT's have"):
        check_projection(spec_of(), ["bert.pooler.bias", "linear.weight"])


def test_texts_are_lowered_where_the_checkpoint_wants_it(tmp_path):
    folders.word_level(["pump", "Pump"]).save(str(tmp_path / "tokenizer.json"))
    assert lowered_tokenizer(tmp_path) == ""
    write(tmp_path / "sentence_bert_config.json", {"do_lower_case": True})
    lowered = Tokenizer.from_str(lowered_tokenizer(tmp_path))
    assert lowered.encode("Pump").ids == lowered.encode("pump").ids
    own = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert lowered.encode("Pump").ids == own.encode("pump").ids


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "bert", "max_position_embeddings": 512}, 512),
        ({"model_type": "xlm-roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "t5"}, 0),
    ],
)
def test_positions_are_those_that_a_text_can_have(config, expected):
    assert positions(config) == expected


# --- comparison with the reference implementation ------------------------------------------------

ROWS = np.eye(3, 4, dtype=np.float32)


def compared(tmp_path: Path, role: str, alone: np.ndarray, together: np.ndarray) -> str:
    np.save(tmp_path / "rows.npy", ROWS if role == "embedder" else ROWS[:, :1])
    found = {"alone": alone.tolist(), "together": together.tolist()}
    return reference.compare(spec_of(role), tmp_path, found, "fp32")


def test_what_agrees_is_said_with_its_distance(tmp_path):
    said = compared(tmp_path, "embedder", ROWS, ROWS)
    assert said.startswith("3 rows, alone and together, as the reference implementation's")


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(ROWS[::-1], id="other rows"),
        pytest.param(ROWS[:, :2], id="too narrow"),
        pytest.param(ROWS * 2, id="another length"),
        pytest.param(ROWS * np.nan, id="not a number"),
        pytest.param(ROWS + np.float32(0.02), id="a little off"),
    ],
)
def test_an_embedder_that_differs_alone_or_together_is_refused(tmp_path, wrong):
    with pytest.raises(BuildError, match="computed alone, are not what the reference"):
        compared(tmp_path, "embedder", wrong, ROWS)
    with pytest.raises(BuildError, match="computed together, are not what the reference"):
        compared(tmp_path, "embedder", ROWS, wrong)


def test_a_reranker_may_differ_by_a_thousandth(tmp_path):
    logits = ROWS[:, :1]
    compared(tmp_path, "reranker", logits, logits + np.float32(0.0005))
    with pytest.raises(BuildError, match=r"together, .* off by 0\.002"):
        compared(tmp_path, "reranker", logits, logits + np.float32(0.002))


@pytest.mark.parametrize("max_tokens", [32, 512])
def test_sample_texts_reach_the_limit_and_two_share_a_batch(max_tokens):
    *_, shorter, longer, longest = reference.sample_texts(max_tokens)
    assert longer.startswith(shorter)
    assert len(shorter.split()) > 0.8 * len(longer.split())
    assert len(longest.split()) > max_tokens


def test_what_an_embedders_files_leave_open_is_said(tmp_path):
    assert remarks(spec_of(), tmp_path, Prefixes("query: ")) == [
        "it has no modules.json: tokens' mean is pooled; before a query comes 'query: ', before a "
        "passage '' (query_prefix and passage_prefix in a spec)"
    ]
    modules(tmp_path, BASE + "Transformer", BASE + "Pooling")
    write(tmp_path / "sentence_bert_config.json", {"max_seq_length": 32})
    pooled, cut = remarks(spec_of(), tmp_path, Prefixes())
    assert pooled.startswith("before a query comes ''")
    assert cut.endswith("sentence-transformers would cut its texts at 32 (max_seq_length)")
    assert len(remarks(spec_of(max_tokens=32), tmp_path, Prefixes())) == 1
    write(tmp_path / "config_sentence_transformers.json", {"similarity_fn_name": "dot"})
    _, measure = remarks(spec_of(max_tokens=32), tmp_path, Prefixes())
    assert measure == "it was trained for the similarity 'dot'; searches here use the cosine"


def test_a_reranker_whose_pairs_have_nothing_between_is_remarked():
    assert remark_on_pairs(folders.word_level(["a", "b"])) == ""
    assert remark_on_pairs(folders.byte_level()).startswith("its tokenizer puts nothing between")
