"""Static embeddings (model2vec's, sentence-transformers') as a checkpoint that transformers reads.

Such a model is a table with a row for each token, and a text's embedding is the mean of its tokens'
rows. An OPT without layers and with positions of zeros gives exactly the rows.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from builders.checkpoint_files import MODULES
from builders.converted import link_or_copy
from builders.errors import refusing
from builders.spec import ModelSpec
from ensembles.manifest import TOKENIZER_FILE

MODULE = "StaticEmbedding"

_POSITIONS = 2048
"""Static models have no limit, a graph's table of positions has."""


def write_checkpoint(spec: ModelSpec, path: Path, folder: Path, to: Path) -> None:
    """`folder` holds the table, `path` the modules behind it. Raises `BuildError`."""
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from transformers import OPTConfig, OPTModel

    with refusing(spec, f"sentence-transformers can't read {folder} as a {MODULE}"):
        table = StaticEmbedding.load(str(folder), local_files_only=True).embedding.weight
    config = OPTConfig(
        vocab_size=table.shape[0],
        hidden_size=table.shape[1],
        word_embed_proj_dim=table.shape[1],
        num_hidden_layers=0,
        num_attention_heads=1,
        max_position_embeddings=_POSITIONS,
        do_layer_norm_before=False,
        pad_token_id=0,
    )
    model = OPTModel(config)
    model.decoder.embed_tokens.weight.data = table.detach().float()
    model.decoder.embed_positions.weight.data.zero_()
    shutil.copytree(
        path, to, copy_function=link_or_copy, ignore=_own_files(path, folder), dirs_exist_ok=True
    )
    model.save_pretrained(to)
    _write_tokenizer(folder, to)
    _write_modules(path, to, table.shape[1])


def _own_files(path: Path, folder: Path) -> Callable[[str, list[str]], set[str]]:
    """What is the table's, beside other modules' folders."""
    patterns = ("config.json", "*.safetensors", "pytorch_model.bin", "*.onnx", folder.name)
    own = shutil.ignore_patterns(*patterns)
    return lambda at, names: own(at, names) if Path(at) == path else set()


def _write_tokenizer(folder: Path, to: Path) -> None:
    """Leaves out special tokens around a text: each would be a row in its mean."""
    tokenizer = _read(folder / TOKENIZER_FILE) | {"post_processor": None}
    settings = {"tokenizer_class": "PreTrainedTokenizerFast"}
    _write(to / TOKENIZER_FILE, tokenizer)
    _write(to / "tokenizer_config.json", settings)


def _write_modules(path: Path, to: Path, width: int) -> None:
    kinds = {"Transformer": "", "Pooling": "mean_pooling"}
    first = [
        {"path": at, "type": f"sentence_transformers.models.{kind}"} for kind, at in kinds.items()
    ]
    listed: list[dict[str, Any]] = [*first, *_read(path / MODULES)[1:]]
    numbered = [{**module, "idx": n, "name": str(n)} for n, module in enumerate(listed)]
    _write(to / MODULES, numbered)
    (to / "mean_pooling").mkdir()
    pooling = {"word_embedding_dimension": width, "pooling_mode_mean_tokens": True}
    _write(to / "mean_pooling" / "config.json", pooling)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _write(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
