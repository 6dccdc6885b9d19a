"""A reader: an LLM that was trained further to tell whether a passage answers a question.

Low-rank matrices (LoRA) are added to the LLM's weights. The result is a checkpoint in the form that
sentence-transformers has for such rerankers: a chat template, which puts the passage before the
question, and a module LogitScore, which takes the logit of " yes" less that of " no".
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from builders.build_resources import check_disk
from builders.checkpoint_files import (
    MODULES,
    PROMPTS,
    SETTINGS,
    answer_weights,
    files_in,
    read_json,
    safetensors_in,
)
from builders.checkpoint_kind import is_llm
from builders.conversion import copy_others
from builders.converted import kept, write_weights
from builders.spec import ModelSpec
from ensembles.manifest import TOKENIZER_FILE, sha256

_CONTENT = '{{ messages | selectattr("role", "eq", "%s") | map(attribute="content") | first }}'
TEMPLATE = f"{_CONTENT % 'document'}\n\nQ: {_CONTENT % 'query'}\nAnswered:"
"""The text that the matrices were trained with."""
_TRUE, _FALSE = " yes", " no"
_SCORE_FOLDER = "1_LogitScore"
_OUTPUT = "causal_logits"

_MODULES = (
    ("", "base.modules.transformer.Transformer"),
    (_SCORE_FOLDER, "cross_encoder.modules.logit_score.LogitScore"),
)
_TEXT = {"method": "forward", "method_output_name": "logits"}
_TABLES: dict[str, Any] = {
    MODULES: [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.{kind}"}
        for number, (path, kind) in enumerate(_MODULES)
    ],
    PROMPTS: {"model_type": "CrossEncoder", "prompts": {}, "default_prompt_name": None},
    SETTINGS: {
        "transformer_task": "text-generation",
        "modality_config": {"text": _TEXT, "message": {**_TEXT, "format": "flat"}},
        "module_output_name": _OUTPUT,
    },
}


def is_reader(spec: ModelSpec, path: Path) -> bool:
    """Whether the spec's `answer_weights` belong to an LLM, the checkpoint in `path`."""
    return bool(spec.answer_weights) and is_llm(read_json(path / "config.json", {}))


def reader_folder(spec: ModelSpec, llm: Path) -> Path:
    """The reader's checkpoint, made of the folder of an LLM or found. Raises `BuildError`."""
    matrices = answer_weights(spec)
    content = [[str(file.relative_to(llm)), sha256(file)] for file in files_in(llm)]
    inputs = [content, sha256(matrices), version("safetensors")]
    return kept(spec.name, inputs, [Path(__file__)], lambda to: _write(spec, llm, matrices, to))


def _write(spec: ModelSpec, llm: Path, matrices: Path, to: Path) -> None:
    from safetensors.torch import save_file

    check_disk(to, sum(file.stat().st_size for file in safetensors_in(llm)))
    copy_others(llm, to, writes_weights=True)
    write_weights(to, _shards(spec, llm, matrices), save_file)
    settings = read_json(llm / "tokenizer_config.json", {})
    settings.pop("chat_template", None)
    (to / _SCORE_FOLDER).mkdir()
    tables = _TABLES | {
        "tokenizer_config.json": settings,
        f"{_SCORE_FOLDER}/config.json": _score_tokens(spec, llm),
    }
    for name, table in tables.items():
        (to / name).write_text(json.dumps(table, indent=2, ensure_ascii=False), encoding="utf-8")
    (to / "chat_template.jinja").write_text(TEMPLATE, encoding="utf-8")


def _shards(spec: ModelSpec, llm: Path, matrices: Path) -> Iterator[dict[str, Any]]:
    """The LLM's weights in their own type, each with the product of its two matrices added."""
    from safetensors.torch import load_file

    low_rank = load_file(matrices)
    for file in safetensors_in(llm):
        weights = load_file(file)
        for name in [name for name in weights if f"{_module(name)}.lora_A" in low_rank]:
            down, up = (low_rank.pop(f"{_module(name)}.lora_{part}").float() for part in "AB")
            if (up.shape[0], down.shape[1]) != weights[name].shape:
                raise spec.error(f"answer_weights: {name} has another shape in the checkpoint")
            weights[name] = (weights[name].float() + up @ down).to(weights[name].dtype)
        yield weights
    if low_rank:
        raise spec.error(
            f"answer_weights: {min(low_rank)} is of a weight that the checkpoint does not have"
        )


def _module(name: str) -> str:
    return name.removesuffix(".weight")


def _score_tokens(spec: ModelSpec, llm: Path) -> dict[str, Any]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(llm / TOKENIZER_FILE))
    yes, no = (tokenizer.encode(word, add_special_tokens=False).ids for word in (_TRUE, _FALSE))
    if (len(yes), len(no)) != (1, 1) or yes == no:
        raise spec.error(f"answer_weights: its tokenizer has no tokens '{_TRUE}' and '{_FALSE}'")
    return {"true_token_id": yes[0], "false_token_id": no[0], "module_input_name": _OUTPUT}
