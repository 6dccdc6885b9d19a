"""What an LLM's checkpoint says: ends of sequence, positions, chat template, kinds to refuse."""

import json
from dataclasses import replace

import pytest
from tokenizers import processors

from builders import llm_prompt, spec
from builders.checkpoint import Checkpoint
from builders.cpu_llm import check_family
from builders.engine import read_facts
from builders.errors import BuildError
from builders.llm_checkpoint import (
    check_kv_cache,
    check_positions,
    check_vocabulary,
    eos_token_ids,
    read_tokenizer,
    tokenizer_settings,
    vocabulary,
)
from builders.llm_prompt import added_template, prompt_hash, prompt_of, with_tools
from builders.spec import ModelSpec, Placement, PromptSpec, SamplingSpec, Sku, load_model, load_sku
from ensembles.manifest import Prompt
from tests.fakes import folders

CONFIG, GENERATION, TOKENIZER = "config.json", "generation_config.json", "tokenizer_config.json"
SPECIAL_MAP = "special_tokens_map.json"


@pytest.fixture
def folder(tmp_path):
    folders.chat_tokenizer().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def checkpoint(folder, **files) -> Checkpoint:
    for name, table in files.items():
        (folder / name.replace("__", ".")).write_text(json.dumps(table), encoding="utf-8")
    return Checkpoint(folder, "")


def llm(max_tokens: int = 64, **fields) -> ModelSpec:
    values = {"name": "mine", "role": "llm", "source": "x", "sampling": SamplingSpec(max_tokens=8)}
    return ModelSpec(max_tokens=max_tokens, **values | fields)


END = 323
"""The id of <|end|> in `folders.chat_tokenizer`."""


@pytest.mark.parametrize(
    ("files", "ids"),
    [
        ({}, ()),
        ({CONFIG: {"eos_token_id": 3}}, (3,)),
        ({CONFIG: {"eos_token_id": [4, 5]}}, (4, 5)),
        ({CONFIG: {"text_config": {"eos_token_id": 7}}}, (7,)),
        ({CONFIG: {"eos_token_id": 3}, GENERATION: {"eos_token_id": [1, 2]}}, (1, 2, 3)),
        ({CONFIG: {"eos_token_id": 0}, TOKENIZER: {"eos_token": "<|end|>"}}, (0, END)),
        ({TOKENIZER: {"eos_token": {"content": "<|end|>", "lstrip": False}}}, (END,)),
        ({SPECIAL_MAP: {"eos_token": "</s>"}, TOKENIZER: {"eos_token": "<|end|>"}}, (1, END)),
        ({TOKENIZER: {"eos_token": "<never>"}}, ()),
        ({TOKENIZER: {"eos_token": None}, GENERATION: {"eos_token_id": None}}, ()),
    ],
)
def test_an_answer_ends_at_all_that_the_checkpoint_names(folder, files, ids):
    assert folders.chat_tokenizer().token_to_id("<|end|>") == END
    assert eos_token_ids(checkpoint(folder, **{CONFIG: {}} | files)) == ids


def test_a_chat_template_gets_tokens_that_only_the_special_tokens_map_names(folder):
    tokens = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}
    named = {"chat_template": "{{ bos_token }}", "eos_token": "<|end|>"}
    files = {CONFIG: {}, TOKENIZER: named, SPECIAL_MAP: tokens}
    text = tokenizer_settings(checkpoint(folder, **files))
    assert json.loads(text) == named | {"bos_token": {"content": "<s>"}}
    (folder / "special_tokens_map.json").unlink()
    assert tokenizer_settings(checkpoint(folder, **files | {SPECIAL_MAP: {}})) == ""


def test_a_token_that_is_called_none_ends_nothing(folder):
    folders.word_level(["None"]).save(str(folder / "tokenizer.json"))
    files = {CONFIG: {}, TOKENIZER: {"eos_token": None}}
    assert eos_token_ids(checkpoint(folder, **files)) == ()


@pytest.mark.parametrize("value", ["</s>", [1, "</s>"], 2.5])
def test_an_end_that_is_no_id_is_refused(folder, value):
    with pytest.raises(BuildError, match=r"eos_token_id is .*, which is no token's id"):
        eos_token_ids(checkpoint(folder, **{CONFIG: {"eos_token_id": value}}))


@pytest.mark.parametrize("size", [0, 320])
def test_added_tokens_may_go_beyond_the_embeddings(folder, size):
    check_vocabulary(llm(), checkpoint(folder, **{CONFIG: {"vocab_size": size}}))


def test_a_tokenizer_of_another_model_is_refused(folder):
    with pytest.raises(BuildError, match=r"has the id 319, and config\.json a vocab_size of 319"):
        check_vocabulary(llm(), checkpoint(folder, **{CONFIG: {"vocab_size": 319}}))


def test_a_token_around_every_text_must_be_within_the_embeddings(folder):
    tokenizer = folders.chat_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <|end|>", special_tokens=[("<|end|>", END)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(BuildError, match=f"has the id {END}"):
        check_vocabulary(llm(), checkpoint(folder, **{CONFIG: {"vocab_size": 322}}))


@pytest.mark.parametrize(
    ("role", "config"),
    [
        ("llm", {"vocab_size": "many"}),
        ("llm", {"eos_token_id": 1, "max_position_embeddings": [4096]}),
        ("embedder", {"model_type": "bert", "architectures": 3}),
        ("reranker", {"model_type": "bert", "id2label": 2}),
    ],
)
def test_a_config_with_values_of_another_kind_is_refused(folder, role, config):
    fields = {"name": "mine", "role": role, "source": "x", "max_tokens": 64}
    of = llm() if role == "llm" else ModelSpec(**fields)
    with pytest.raises(BuildError, match="has a value of another kind than transformers writes"):
        read_facts(of, load_sku("cpu"), checkpoint(folder, **{CONFIG: config}), print)


@pytest.mark.parametrize("text", ["version https://git-lfs.github.com/spec/v1\n", "{", "{}"])
def test_a_damaged_tokenizer_is_named(folder, text):
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    with pytest.raises(
        BuildError, match=r"tokenizer\.json is not a tokenizer, damaged, or of a kind"
    ):
        read_tokenizer(Checkpoint(folder, ""))


@pytest.mark.parametrize("text", ["{", "[]", "version https://git-lfs"])
def test_a_damaged_table_is_named(folder, text):
    (folder / GENERATION).write_text(text, encoding="utf-8")
    with pytest.raises(BuildError, match=r"generation_config\.json is not (a )?JSON"):
        eos_token_ids(checkpoint(folder, config__json={}))


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        ({"max_position_embeddings": 128}, 128),
        ({"n_positions": 128}, 128),
        ({"max_seq_len": 128}, 128),
        ({"text_config": {"max_position_embeddings": 128}}, 128),
        ({"max_position_embeddings": 128, "rope_scaling": {"type": "dynamic", "factor": 4}}, 128),
        (
            {
                "max_position_embeddings": 128,
                "rope_parameters": {"rope_type": "dynamic", "factor": 4.0},
            },
            128,
        ),
        (  # as Phi-3 writes it
            {
                "max_position_embeddings": 4096,
                "original_max_position_embeddings": 128,
                "rope_scaling": {"type": "longrope", "short_factor": [1.0], "long_factor": [2.0]},
            },
            128,
        ),
        (  # as Qwen 2.5 writes it
            {
                "max_position_embeddings": 32,
                "rope_scaling": {
                    "type": "yarn",
                    "factor": 4.0,
                    "original_max_position_embeddings": 32,
                },
            },
            128,
        ),
        (  # as Llama 3.1 writes it
            {
                "max_position_embeddings": 128,
                "rope_scaling": {
                    "rope_type": "llama3",
                    "factor": 8.0,
                    "original_max_position_embeddings": 16,
                },
            },
            128,
        ),
    ],
)
def test_a_model_has_as_many_positions_as_its_config_says(folder, config, positions):
    found = checkpoint(folder, config__json=config)
    check_positions(llm(positions), found)
    with pytest.raises(BuildError) as caught:
        check_positions(llm(positions + 1), found)
    assert str(caught.value).startswith(
        f"model 'mine': max_tokens {positions + 1} in its spec, and its config.json has "
        f"{positions} positions"
    )
    is_by_length = "dynamic" in str(config) or "longrope" in str(config)
    assert ("each request's length" in str(caught.value)) == is_by_length


def test_a_model_without_positions_takes_any_length(folder):
    check_positions(llm(100_000), checkpoint(folder, config__json={"alibi": True}))


def test_the_vocabulary_is_the_configs(folder):
    assert vocabulary(checkpoint(folder, config__json={"vocab_size": 300})) == 300
    assert vocabulary(checkpoint(folder, config__json={"text_config": {"vocab_size": 7}})) == 7
    assert vocabulary(checkpoint(folder, config__json={})) == 0


# --- what the export would fail on --------------------------------------------------------------


def cpu(kv_cache_tokens: int) -> Sku:
    return Sku(
        name="cpu",
        config_name="cpu",
        placement={"llm": Placement(parameters={"kv_cache_tokens": kv_cache_tokens})},
    )


@pytest.mark.parametrize("tokens", [128, 159])
def test_kv_memory_that_no_longest_request_fits_is_refused_with_the_file(tokens):
    check_kv_cache(llm(96), cpu(tokens))
    with pytest.raises(BuildError) as caught:
        check_kv_cache(llm(97), cpu(tokens))
    assert str(caught.value) == (
        f"model 'mine': max_tokens 97 in its spec, and kv_cache_tokens {tokens} in "
        "builders/placements/cpu.toml hold a request of 96: raise kv_cache_tokens to 160, or "
        "lower max_tokens"
    )


@pytest.mark.parametrize("name", ["llama-3.1-8b", "qwen3-8b", "smollm2-135m-instruct"])
def test_the_shipped_models_fit_the_cpus_kv_memory(name):
    check_kv_cache(load_model(name), load_sku("cpu"))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "gemma3"}, "model_type 'gemma3' in config.json is none that"),
        ({"model_type": "chatglm"}, "exports 'chatglm' with transformers up to 4.55.4, and"),
        ({"model_type": "gemma3", "text_config": {"model_type": "llama"}}, "text model alone"),
        ({"model_type": "afmoe"}, "model_type 'afmoe' in config.json is none that"),
        ({"model_type": "mpt"}, "model_type 'mpt' in config.json is none that"),
        ({"model_type": "gemma4_text"}, "exports rightly as a text generator"),
        ({}, "model_type 'None' in config.json is none"),
        (
            {"model_type": "granitemoehybrid", "layer_types": ["attention"]},
            "layer_types in config.json names no Mamba layer",
        ),
    ],
)
def test_what_the_export_does_not_take_is_refused_before_it(folder, config, says):
    with pytest.raises(BuildError) as caught:
        check_family(llm(), checkpoint(folder, config__json=config))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_text_model_that_is_not_exported_either_is_not_advised(folder):
    config = {"model_type": "gemma4", "text_config": {"model_type": "gemma4_text"}}
    with pytest.raises(BuildError, match=r"exports rightly as a text generator$"):
        check_family(llm(), checkpoint(folder, config__json=config))


@pytest.mark.parametrize("kind", ["llama", "gemma2", "glm", "olmo3", "seed_oss"])
def test_families_that_were_built_and_compared_are_taken(folder, kind):
    check_family(llm(), checkpoint(folder, config__json={"model_type": kind}))


# --- prompt ---------------------------------------------------------------------------------------


@pytest.fixture
def specs(tmp_path, monkeypatch):
    """builders/models in a folder of the test."""
    monkeypatch.setattr(llm_prompt, "ROOT", tmp_path)
    monkeypatch.setattr(llm_prompt, "BUILDERS", tmp_path / "builders")
    path = tmp_path / "builders" / "models"
    path.mkdir(parents=True)
    (path / "plain-chat.jinja").write_text("PLAIN", encoding="utf-8")
    (path / "tools.jinja").write_text("{{ tools }}", encoding="utf-8")
    return path


def test_a_prompt_is_todays_where_the_spec_says_nothing():
    assert replace(prompt_of(llm()), tools="", tool_calls="") == Prompt()
    assert PromptSpec().system == Prompt().system


def test_a_prompt_has_the_texts_of_the_files_beside_its_spec(specs):
    (specs / "mine.jinja").write_text("{{ question }} – {{ sources }}", encoding="utf-8")
    said = PromptSpec(system="", user_template="mine.jinja", num_sources=1, stop_words=("\n",))
    asking = llm(prompt=said)
    assert prompt_of(asking) == Prompt(
        "", "{{ question }} – {{ sources }}", 1, ("\n",), "{{ tools }}", "hermes"
    )
    before = prompt_hash(asking)
    assert prompt_hash(llm()) != before
    (specs / "mine.jinja").write_text("{{ question }}", encoding="utf-8")
    assert prompt_hash(asking) != before


def test_the_chat_template_tells_of_tools_where_it_can(specs):
    plain = prompt_of(llm())
    told, sentence = with_tools(llm(), plain, "mistral")
    assert (told.tools, told.tool_calls) == ("", "mistral")
    assert sentence == "tool calls: mistral, by the chat template"
    told, sentence = with_tools(llm(), plain, "")
    assert (told, told.tool_calls) == (plain, "hermes")
    assert "builders/models/tools.jinja, as the chat template knows no tools" in sentence


def test_a_spec_says_how_its_model_calls_tools(specs):
    (specs / "mine.jinja").write_text("MINE", encoding="utf-8")
    named = llm(prompt=PromptSpec(tool_calls="llama3_json"))
    told, _ = with_tools(named, prompt_of(named), "hermes")
    assert (told.tools, told.tool_calls) == ("", "llama3_json")
    own = llm(prompt=PromptSpec(tools_template="mine.jinja"))
    told, sentence = with_tools(own, prompt_of(own), "hermes")
    assert (told.tools, told.tool_calls) == ("MINE", "hermes")
    assert sentence.endswith("by builders/models/mine.jinja")
    assert len({prompt_hash(each) for each in (llm(), named, own)}) == 3


@pytest.mark.parametrize("field", ["user_template", "chat_template", "tools_template"])
def test_a_missing_file_is_named_with_the_spec_that_wants_it(specs, field):
    with pytest.raises(BuildError) as caught:
        prompt_hash(llm(prompt=PromptSpec(**{field: "none.jinja"})))
    assert str(caught.value).startswith(
        f"builders/models/mine.toml: prompt.{field}: none.jinja can't be read beside it"
    )


@pytest.mark.parametrize(
    "text", ['user_template = "../x.jinja"', 'chat_template = "x.txt"', "num_sources = 0", "x = 1",
             'stop_words = [""]', 'tool_calls = "pythonic"']
)  # fmt: skip
def test_a_faulty_prompt_names_file_and_key(tmp_path, monkeypatch, text):
    monkeypatch.setattr(spec, "BUILDERS", tmp_path)
    monkeypatch.setattr(spec, "ROOT", tmp_path)
    (tmp_path / "models").mkdir()
    (tmp_path / "models/mine.toml").write_text(
        f'role = "llm"\nsource = "x"\nmax_tokens = 512\n[prompt]\n{text}\n', encoding="utf-8"
    )
    with pytest.raises(BuildError, match=rf"models/mine\.toml: prompt\.{text.split()[0]}"):
        load_model("mine")


def test_the_chat_template_is_the_specs_then_the_checkpoints_then_the_plain_one(folder, specs):
    (specs / "own.jinja").write_text("OWN", encoding="utf-8")
    own = llm(prompt=PromptSpec(chat_template="own.jinja"))
    bare = checkpoint(folder)
    text, said = added_template(llm(), bare)
    assert (text, "no chat template" in said) == ("PLAIN", True)
    processor = checkpoint(folder, chat_template__json={"chat_template": "V"})
    assert added_template(llm(), processor) == ("V", "")
    with_one = checkpoint(folder, tokenizer_config__json={"chat_template": "T"})
    assert added_template(llm(), with_one) == ("", "")
    (folder / "chat_template.jinja").write_text("F", encoding="utf-8")
    assert added_template(llm(), with_one) == ("", "")
    assert added_template(own, with_one) == ("OWN", "chat template: builders/models/own.jinja")
