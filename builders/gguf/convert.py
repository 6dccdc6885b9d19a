"""A GGUF file into a Hugging Face checkpoint folder, which is kept for the next time."""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import save_file

from builders.build_resources import check_disk
from builders.converted import kept, write_weights
from builders.errors import GgufError
from builders.spec import ModelSpec
from ensembles.manifest import sha256

_SHARD_BYTES = 2**31


def converted(spec: ModelSpec, file: Path) -> Path:
    """The checkpoint folder of a GGUF: found, or made. Raises `BuildError`."""
    here, exact = Path(__file__).parent, spec.role == "llm" and spec.precision == "fp32"
    code = [*here.glob("*.py"), *here.glob("*.toml")]
    try:
        inputs = [sha256(file), exact, version("gguf"), version("tokenizers")]
        return kept(spec.name, inputs, code, lambda to: convert(file, to, exact=exact))
    except (GgufError, SafetensorError, OSError) as error:
        raise spec.error(f"{file} can't be used: {error}") from error


def convert(file: Path, folder: Path, exact: bool) -> None:
    """Fill `folder` with the checkpoint; `exact`: in float32. Raises `GgufError`."""
    from builders.gguf.reader import read_gguf
    from builders.gguf.tokenizer import GgufTokenizer
    from builders.gguf.weights import Model  # with torch, which only a conversion needs

    gguf = read_gguf(file)
    tokenizer, model = GgufTokenizer(gguf), Model(gguf)
    # float16 keeps 8 times more of a quantized value than bfloat16, in half the memory of float32.
    matrices = {t.tensor_type.name for t in gguf.tensors.values() if len(t.shape) > 1}
    half = "bfloat16" if matrices == {"BF16"} else "float16"
    stored_as = "float32" if exact else half
    check_disk(folder, sum(int(t.n_elements) for t in gguf.tensors.values()) * (4 if exact else 2))
    ids = tokenizer.ids()
    first_ids = ids | {"eos_token_id": ids["eos_token_id"][0]}
    config = model.config()
    files = {
        "config.json": config | first_ids | {"torch_dtype": stored_as},
        "generation_config.json": ids,
        "tokenizer_config.json": {"model_max_length": config["max_position_embeddings"]}
        | tokenizer.settings(),
    }
    for name, content in files.items():
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "tokenizer.json").write_text(tokenizer.tokenizer_json(), encoding="utf-8")
    write_weights(folder, _shards(model, stored_as), save_file)


def _shards(model: Any, stored_as: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Weights by name, in groups of about `_SHARD_BYTES`."""
    shard: dict[str, npt.NDArray[Any]] = {}
    size = 0
    for name, values in model.tensors():
        stored = _store(name, values, stored_as)
        if shard and size + stored.nbytes > _SHARD_BYTES:
            yield shard
            shard, size = {}, 0
        shard[name] = stored
        size += stored.nbytes
    yield shard


def _store(name: str, values: npt.NDArray[np.float32], stored_as: str) -> npt.NDArray[Any]:
    kind = ml_dtypes.bfloat16 if stored_as == "bfloat16" else np.dtype(stored_as)
    with np.errstate(over="ignore"):
        stored = np.ascontiguousarray(values, kind)
    if not np.isfinite(stored).all():
        raise GgufError(f'a value of {name} is beyond {stored_as}; possible: precision = "fp32"')
    return stored
