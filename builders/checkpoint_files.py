"""Checks that a checkpoint folder's files are whole and readable; errors say what to do instead."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from builders.errors import BuildError
from builders.spec import ROOT, ModelSpec
from ensembles.manifest import TOKENIZER_FILE

MODULES = "modules.json"
"""A file of sentence-transformers: the modules that compute an embedding, in order."""
PROMPTS = "config_sentence_transformers.json"
SETTINGS = "sentence_bert_config.json"
"""Files of sentence-transformers: prompts by name, and the settings of its module Transformer."""
WEIGHTS = "model.safetensors"
WEIGHTS_INDEX = "model.safetensors.index.json"

TOKENIZERS = ("*.model", "vocab.txt", "vocab.json")
"""Files from which transformers makes a tokenizer.json."""

_OTHER_TOKENIZERS = ("tekken.json", "*.tiktoken")
COPY_TOKENIZER = (
    "copy tokenizer.json from another copy of the model, or from the one that it was trained from"
)

_OTHER_WEIGHTS = ("*.h5", "*.msgpack", "*.onnx", "openvino_*.xml", "*.pth", "*.npz")
PICKLES = "pytorch_model*.bin"


def answer_weights(spec: ModelSpec) -> Path:
    """The file that the spec names (answer_encoder.py, answer_reader.py); raises `BuildError`."""
    path = ROOT / spec.folder / str(spec.answer_weights)
    if not path.is_file():
        raise spec.error(f"answer_weights: no file {spec.folder}/{spec.answer_weights}")
    return path


def check_copied(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for a folder with something else in the place of its files."""
    snapshots = sorted([*path.glob("snapshots/*/"), *path.glob("models--*/snapshots/*/")])
    if snapshots and not (path / "config.json").is_file():
        raise spec.error(
            f"{path} is the hub's cache; possible sources: {', '.join(map(str, snapshots))}"
        )
    _check_are_files(spec, path)


def check_files(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for a folder that is not a complete checkpoint."""
    _check_whole_model(spec, path)
    _check_tokenizer(spec, path)
    _check_format(spec, path)
    _check_weights(spec, path)


def read_json(path: Path, default: Any) -> Any:
    """What the file holds; `default` where it is missing. Raises `BuildError`."""
    try:
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else default
    except ValueError as error:
        raise BuildError(f"{path} is not JSON: {error}") from error


def modules(path: Path) -> list[tuple[str, Path]]:
    """The class and the folder of each module of modules.json. Raises `BuildError`."""
    try:
        return [(str(one["type"]), path / one["path"]) for one in read_json(path / MODULES, [])]
    except (TypeError, KeyError) as error:
        raise BuildError(f"{path / MODULES} is no list of modules with type and path") from error


def files_in(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


_LFS_BEGIN = b"version https://git-lfs.github.com/spec/"
_PAGE_BEGINS = (b"<!doctype", b"<html", b"<?xml")
_NEVER_PAGES = (".json", ".safetensors", ".bin", ".model")


def _check_are_files(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for broken links, Git LFS pointers and web pages saved as such files."""
    if broken := sorted(file for file in path.rglob("*") if not file.exists()):
        raise spec.error(
            f"{broken[0]} is a link to {broken[0].readlink()}, which is not there: copy the files "
            "themselves, as 'cp -rL' does"
        )
    if found := [file for file in files_in(path) if _begins(file, _LFS_BEGIN)]:
        raise spec.error(
            f"{', '.join(file.name for file in found)} in {path}: a Git LFS pointer each, not the "
            "file itself; 'git lfs pull' there fetches them"
        )
    for file in files_in(path):
        if file.suffix in _NEVER_PAGES and _begins(file, _PAGE_BEGINS):
            raise spec.error(
                f"{file} is a web page, not the file itself: download it again (on the hub an "
                "address with /resolve/, not /blob/)"
            )


def _begins(file: Path, words: bytes | tuple[bytes, ...]) -> bool:
    with file.open("rb") as opened:
        return opened.read(64).lstrip().lower().startswith(words)


def _check_whole_model(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for folders that only the tool that wrote them can read as a model."""
    if (path / "adapter_config.json").is_file():
        raise spec.error(
            f"{path} is an adapter (adapter_config.json), not a model: merge it into its base "
            "model with peft's merge_and_unload(), and name the folder that this and the "
            "tokenizer are saved to"
        )
    if (path / "config.json").is_file():
        return
    if inner := sorted(path.glob("0_*/config.json")):
        raise spec.error(
            f"{path} begins with {inner[0].parent.name}, of which no text's embedding can be "
            f"made; possible in {MODULES} is a Transformer or a StaticEmbedding first"
        )
    found = ", ".join(sorted(file.name for file in path.iterdir())[:8]) or "nothing"
    models = ", ".join(str(file.parent) for file in sorted(path.glob("*/config.json"))[:8])
    raise spec.error(
        f"{path} has no config.json, so it is no Hugging Face checkpoint; it holds {found}"
        + f"; possible sources: {models}" * bool(models)
    )


def _check_tokenizer(spec: ModelSpec, path: Path) -> None:
    if (path / TOKENIZER_FILE).is_file():
        return
    found = [file.name for kind in _OTHER_TOKENIZERS for file in sorted(path.glob(kind))]
    but = f", and none is made of {', '.join(found)}" if found else ""
    raise spec.error(
        f"{path} has no {TOKENIZER_FILE}, nor a file to make it of ({', '.join(TOKENIZERS)}){but}: "
        f"{COPY_TOKENIZER}"
    )


def _check_format(spec: ModelSpec, path: Path) -> None:
    if has_safetensors(path):
        return
    if others := [file.name for file in safetensors_in(path)]:
        raise spec.error(
            f"{path} has {', '.join(others)}, and neither {WEIGHTS} nor {WEIGHTS_INDEX}, which "
            "transformers reads"
        )
    found = [file.name for pattern in _OTHER_WEIGHTS for file in sorted(path.rglob(pattern))]
    raise spec.error(
        f"{path} has no {WEIGHTS}{' but ' if found else ''}{', '.join(found)}; weights are read "
        f"from safetensors and {PICKLES}"
    )


def _check_weights(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for a file that is truncated or differs from the index."""
    places = _places(spec, path)
    held = {file.name: names_in(spec, file) for file in weight_files(path)}
    if missing := sorted((set(places.values()) or {WEIGHTS}) - held.keys()):
        raise spec.error(f"{path} lacks {', '.join(missing)} of its weights")
    if lost := sorted(name for name, file in places.items() if name not in held[file]):
        raise spec.error(
            f"{places[lost[0]]} has no {lost[0]}, which {WEIGHTS_INDEX} says is in it: the files "
            "are not of one checkpoint; copy all of them again"
        )


def has_safetensors(path: Path) -> bool:
    return any((path / name).is_file() for name in (WEIGHTS, WEIGHTS_INDEX))


def safetensors_in(path: Path) -> list[Path]:
    """The folder's safetensors files, without hidden ones: macOS adds a file `._<name>` to each
    file that it copies."""
    return sorted(file for file in path.glob("[!.]*.safetensors") if file.is_file())


def weight_files(path: Path) -> list[Path]:
    """The files that transformers reads if the index is whole; folders often hold others too."""
    named = set(_index(path).values()) or {WEIGHTS}
    return [file for file in safetensors_in(path) if file.name in named]


def _places(spec: ModelSpec, path: Path) -> Mapping[str, str]:
    try:
        return _index(path)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise spec.error(
            f"{WEIGHTS_INDEX} is damaged or cut short ({error!r}); copy it again"
        ) from error


def _index(path: Path) -> Mapping[str, str]:
    """The file of each weight, as the index says; empty where transformers reads a single file.

    It reads a single file wherever there is one: an index beside it is left from an earlier save.
    """
    index = path / WEIGHTS_INDEX
    if (path / WEIGHTS).is_file() or not index.is_file():
        return {}
    table = json.loads(index.read_text(encoding="utf-8"))
    table["metadata"]  # transformers requires it, but uses nothing of it
    return {str(name): str(file) for name, file in table["weight_map"].items()}


def names_in(spec: ModelSpec, file: Path) -> set[str]:
    """Names of a file's weights. Header and length must agree, so a truncated download is found."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="np") as tensors:
            return set(tensors.keys())
    except (SafetensorError, OSError) as error:
        raise spec.error(f"{file} is damaged or cut short ({error}); copy it again") from error
