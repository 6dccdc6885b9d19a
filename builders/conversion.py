"""Converts a checkpoint folder into one that builds read; the user's own stays as it is.

Pickled weights become safetensors, a tokenizer of an older kind tokenizer.json, and of a multimodal
checkpoint its text model is taken. An embedder's transformer may lie in a folder of its own, or be
a table of tokens (model2vec's, sentence-transformers' StaticEmbedding).
"""

import json
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.build_resources import check_disk
from builders.checkpoint_files import (
    COPY_TOKENIZER,
    MODULES,
    PICKLES,
    TOKENIZERS,
    WEIGHTS_INDEX,
    files_in,
    has_safetensors,
    modules,
    read_json,
    safetensors_in,
)
from builders.checkpoint_kind import QUANTIZATION
from builders.converted import kept, link_or_copy, write_weights
from builders.errors import refusing
from builders.spec import ModelSpec
from ensembles.manifest import TOKENIZER_FILE, sha256

_TEXT_MODELS = {
    "gemma3_text": "Gemma3ForCausalLM",
    "gemma3n_text": "Gemma3nForCausalLM",
    "llama": "LlamaForCausalLM",
    "ministral3": "Ministral3ForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
}
"""By model_type of text_config, the class that computes it alone. Each was compared with the
multimodal model, asked about text."""

_FROM_OUTER = (
    *("bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"),
    *("torch_dtype", *QUANTIZATION),
)
"""Fields that a multimodal config.json has beside text_config; there they win."""

_TABLE = "StaticEmbedding"

_TABLE_POSITIONS = 2048
"""Static models have no limit, a graph's table of positions has."""


def readable_folder(spec: ModelSpec, path: Path) -> Path:
    """`path`, or the folder that it was converted to. Raises `BuildError`."""
    kind, inner = next(iter(modules(path)), ("", path))
    if kind.endswith(_TABLE) and spec.role == "embedder":
        return _kept(spec, path, partial(_write_table, spec, path, inner))
    if kind.endswith(".Transformer") and inner != path and not (path / "config.json").is_file():
        return readable_folder(spec, _kept(spec, path, partial(_lift, path, inner)))
    text = _text_config(spec, path)
    pickles = [] if has_safetensors(path) else sorted(path.glob(PICKLES))
    needs_tokenizer = not (path / TOKENIZER_FILE).is_file() and any(
        any(path.glob(pattern)) for pattern in TOKENIZERS
    )
    if not (text or pickles or needs_tokenizer) or not (path / "config.json").is_file():
        return path

    def fill(to: Path) -> None:
        from safetensors.torch import save_file

        copy_others(path, to, bool(text or pickles))
        if text or pickles:
            weights = pickles or safetensors_in(path)
            check_disk(to, sum(file.stat().st_size for file in weights))
            if not write_weights(to, _shards(spec, weights, bool(text)), save_file):
                raise spec.error(f"{path} has no weights of a text model")
        if text:
            (to / "config.json").write_text(json.dumps(text, indent=2), encoding="utf-8")
        if needs_tokenizer:
            _write_tokenizer(spec, path, to)

    return _kept(spec, path, fill)


def _kept(spec: ModelSpec, path: Path, fill: Callable[[Path], None]) -> Path:
    content = [[str(file.relative_to(path)), sha256(file)] for file in files_in(path)]
    tools = [version("transformers"), version("tokenizers")]
    return kept(spec.name, [content, tools, spec.role == "llm"], [Path(__file__)], fill)


def _lift(path: Path, inner: Path, to: Path) -> None:
    """Older sentence-transformers kept the transformer in a folder of its own, 0_Transformer."""
    others = shutil.ignore_patterns(inner.name)
    shutil.copytree(path, to, copy_function=link_or_copy, ignore=others, dirs_exist_ok=True)
    shutil.copytree(inner, to, copy_function=link_or_copy, dirs_exist_ok=True)
    listed = read_json(path / MODULES, [])
    listed[0]["path"] = ""
    (to / MODULES).write_text(json.dumps(listed), encoding="utf-8")


def _text_config(spec: ModelSpec, path: Path) -> dict[str, Any]:
    """config.json of the text model inside a multimodal LLM; empty where there is none to take."""
    try:
        config = read_json(path / "config.json", {})
        inner = config["text_config"]
        name = _TEXT_MODELS[inner["model_type"]]
    except (KeyError, TypeError):
        return {}
    if spec.role != "llm" or inner["model_type"] == config.get("model_type"):
        return {}
    outer = {field: config[field] for field in _FROM_OUTER if config.get(field) is not None}
    return {**inner, **outer, "architectures": [name]}


def copy_others(path: Path, to: Path, writes_weights: bool) -> None:
    """Everything but weights that are made anew."""
    made = shutil.ignore_patterns(PICKLES, f"{PICKLES}.index.json", "*.safetensors", WEIGHTS_INDEX)

    def ignored(folder: str, names: list[str]) -> set[str]:
        return made(folder, names) if writes_weights and Path(folder) == path else set()

    shutil.copytree(path, to, copy_function=link_or_copy, ignore=ignored, dirs_exist_ok=True)


def _write_table(spec: ModelSpec, path: Path, folder: Path, to: Path) -> None:
    """The table in `folder` as an OPT without layers and with positions of zeros.

    It gives exactly the tokens' rows, and a text's embedding is their mean. Special tokens around a
    text are left out: they would be rows too. `path` has the modules behind the table.
    """
    from sentence_transformers.sentence_transformer.modules import Pooling, StaticEmbedding
    from transformers import OPTConfig, OPTModel

    with refusing(spec, f"sentence-transformers can't read {folder} as a {_TABLE}"):
        table = StaticEmbedding.load(str(folder), local_files_only=True).embedding.weight
    size, width = table.shape
    config = OPTConfig(
        vocab_size=size,
        hidden_size=width,
        word_embed_proj_dim=width,
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=_TABLE_POSITIONS,
        do_layer_norm_before=False,
        pad_token_id=0,
    )
    model = OPTModel(config)
    model.decoder.embed_tokens.weight.data = table.detach().float()
    model.decoder.embed_positions.weight.data.zero_()
    copy_others(path, to, writes_weights=True)
    model.save_pretrained(to)
    (to / "mean_pooling").mkdir()
    Pooling(width, "mean").save(str(to / "mean_pooling"))
    kinds = {"Transformer": "", "Pooling": "mean_pooling"}
    first = [
        {"type": f"sentence_transformers.models.{kind}", "path": at} for kind, at in kinds.items()
    ]
    listed = [*first, *read_json(path / MODULES, [])[1:]]
    tables = {
        TOKENIZER_FILE: read_json(folder / TOKENIZER_FILE, {}) | {"post_processor": None},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
        MODULES: [{**module, "idx": n, "name": str(n)} for n, module in enumerate(listed)],
    }
    for name, content in tables.items():
        (to / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _shards(spec: ModelSpec, files: list[Path], only_text: bool) -> Iterator[dict[str, Any]]:
    """The weights of each file, by the names that they get."""
    for file in files:
        read = _read(spec, file).items()
        named = ((_text_name(name) if only_text else name, values) for name, values in read)
        # safetensors takes no memory that two share
        yield {name: values.clone().contiguous() for name, values in named if name}


def _read(spec: ModelSpec, file: Path) -> dict[str, Any]:
    """A file's weights, whose pickle may hold nothing but tensors: it is data of a stranger."""
    import torch
    from safetensors.torch import load_file

    if file.suffix == ".safetensors":
        return dict(load_file(file))
    with refusing(spec, f"{file.name} can't be read as weights alone, damaged or with code in it"):
        held: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
        if not all(isinstance(value, torch.Tensor) for value in held.values()):
            raise ValueError("more than weights by name; save the model with save_pretrained")
        return held


def _text_name(name: str) -> str:
    """A weight's name in the text model alone; empty for those of other parts."""
    if name.startswith("lm_head."):
        return name
    _, found, rest = name.partition("language_model.")
    rest = rest.removeprefix("model.")
    return rest if rest.startswith("lm_head.") or not found else f"model.{rest}"


def _write_tokenizer(spec: ModelSpec, path: Path, to: Path) -> None:
    """tokenizer.json as transformers makes it of vocab.txt, vocab.json or a SentencePiece model."""
    from transformers import AutoTokenizer

    found = ", ".join(file.name for pattern in TOKENIZERS for file in sorted(path.glob(pattern)))
    says = f"{path} has {found}; transformers can't make {TOKENIZER_FILE} of it: {COPY_TOKENIZER}"
    with refusing(spec, says):
        tokenizer = AutoTokenizer.from_pretrained(
            path, local_files_only=True, trust_remote_code=False
        )
        tokenizer.backend_tokenizer.save(str(to / TOKENIZER_FILE))
