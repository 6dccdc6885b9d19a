"""What an encoder's checkpoint says in addition to its weights.

A part that can't be served is refused by name before the export: a build never drops a module.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, normalizers

from builders.build_steps import Progress
from builders.checkpoint import Checkpoint, Facts
from builders.checkpoint_files import (
    MODULES,
    PROMPTS,
    SETTINGS,
    WEIGHTS,
    answer_weights,
    modules,
    names_in,
    read_json,
)
from builders.checkpoint_kind import is_llm
from builders.llm_checkpoint import most_positions, read_tokenizer, text_config
from builders.pair_template import default_prompt, read_pair_template
from builders.spec import ModelSpec
from ensembles.manifest import TOKENIZER_FILE, Prefixes

_SETTINGS = (SETTINGS, "sentence_roberta_config.json")
"""Files with the settings of the module Transformer: the present name and an older one."""

_KNOWN_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "LayerNorm", "Dropout")
_WITH_WEIGHTS = ("Dense", "LayerNorm")
_COUNT_BEHIND_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet")
_QUERY, _PASSAGE = ("query",), ("document", "passage", "corpus")
"""Names of prompts, as sentence-transformers' encode_query and encode_document look for them."""

FIRST_SIGN = 999
"""Id of "!" in BERT's uncased English vocabulary. Special tokens have lower ids, and words are
sorted by how often they are used: the logarithm of their number is as good a weight as their
rarity."""


def encoder_facts(spec: ModelSpec, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """The facts of an encoder; raises `BuildError` for what can't be served. A `max_tokens` larger
    than the model's is reduced to it."""
    check_own_code(spec, checkpoint)
    most = positions(checkpoint.config()) or spec.max_tokens
    if most < spec.max_tokens:
        progress(
            f"max_tokens {spec.max_tokens} is more than its {most} positions: lowered to {most}"
        )
    facts = Facts(min(most, spec.max_tokens))
    if spec.role == "embedder":
        check_modules(spec, checkpoint.path)
        facts.prefixes = prefixes(spec, checkpoint.path)
        facts.dimensions = dimensions(spec, checkpoint.path)
        if lowered := lowered_tokenizer(checkpoint.path):
            facts.texts = {TOKENIZER_FILE: lowered}
        for remark in remarks(spec, checkpoint.path, facts.prefixes):
            progress(remark)
        return facts
    if spec.answer_weights and not is_llm(checkpoint.config()):
        check_answer_encoder(spec, checkpoint)
    check_pairs(spec, checkpoint)
    if checkpoint.has_chat_template():
        facts.pair_text, tokenizer = read_pair_template(spec, checkpoint)
        facts.texts = {TOKENIZER_FILE: tokenizer}
    elif remark := remark_on_pairs(read_tokenizer(checkpoint)):
        progress(remark)
    return facts


def check_own_code(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for an encoder whose model or tokenizer is code of the checkpoint's own.

    Such code often computes something else than transformers' class: gte-Qwen2 attends in both
    directions, and ends each text with a token. The reference would be transformers' class too, so
    no comparison would show it.
    """
    for name in ("config.json", "tokenizer_config.json"):
        for kind in checkpoint.table(name).get("auto_map") or {}:
            if kind.startswith(("AutoModel", "AutoTokenizer")):
                raise spec.error(
                    f"{name} brings code of its own for {kind} (auto_map), which a build never "
                    "runs. Where transformers' own class does the same, remove auto_map from "
                    f"{name}"
                )


def check_modules(spec: ModelSpec, path: Path) -> None:
    """Raises `BuildError` for a module that is missing, or that the export does not support."""
    found = modules(path)
    if not found and Checkpoint(path, "").has_chat_template():
        raise spec.error(
            f"its tokenizer has a chat template and there is no {MODULES}, so "
            "sentence-transformers would write texts as turns of a chat: remove chat_template from "
            f"its files, or add the {MODULES} that it was trained with"
        )
    for name, folder in found:
        kind = name.rpartition(".")[2]
        if kind not in _KNOWN_MODULES or not name.startswith("sentence_transformers."):
            raise spec.error(
                f"{MODULES}: module '{name}'; possible are {', '.join(_KNOWN_MODULES)} of "
                "sentence-transformers"
            )
        config = read_json(folder / "config.json", None)
        if kind in ("Pooling", "Dense") and config is None:
            raise spec.error(f"{MODULES} names {folder}/config.json: no such file")
        if kind in _WITH_WEIGHTS:
            _check_weights(spec, folder)
        function = (config or {}).get("activation_function", "torch.")
        if kind == "Dense" and not str(function).startswith("torch."):
            raise spec.error(
                f"{folder.name}/config.json: activation_function '{function}' is code of its own, "
                "which a build never runs; possible: one of torch.nn"
            )
        if kind == "Pooling" and config.get("include_prompt") is False:
            raise spec.error(
                f"{folder.name}/config.json: include_prompt false, which leaves the prompt's "
                "tokens out of the pooling, is not supported"
            )
    if found and not any(name.endswith("Pooling") for name, _ in found):
        raise spec.error(f"{MODULES} names no Pooling, so it makes no embedding of a text")


def _check_weights(spec: ModelSpec, folder: Path) -> None:
    if (file := folder / WEIGHTS).is_file():
        names_in(spec, file)
    elif not (folder / "pytorch_model.bin").is_file():
        raise spec.error(f"{MODULES} names {file}: no such file")


def prefixes(spec: ModelSpec, path: Path) -> Prefixes:
    """The prefixes of queries, passages and other texts: the spec's, else the checkpoint's."""
    prompts: dict[str, str] = read_json(path / PROMPTS, {}).get("prompts") or {}
    text = default_prompt(spec, path)

    def named(own: str | None, names: tuple[str, ...]) -> str:
        found = next((prompts[name] for name in names if name in prompts), text)
        return found if own is None else own

    return Prefixes(
        query=named(spec.query_prefix, _QUERY),
        passage=named(spec.passage_prefix, _PASSAGE),
        text=text,
    )


def dimensions(spec: ModelSpec, path: Path) -> int:
    """Number of values that embeddings are cut to, from spec or else checkpoint; 0: not cut."""
    return spec.dimensions or int(read_json(path / PROMPTS, {}).get("truncate_dim") or 0)


def remarks(spec: ModelSpec, path: Path, said: Prefixes) -> list[str]:
    """Notes for the user on what an embedder's files leave open and could make results bad."""
    lengths = [read_json(path / name, {}).get("max_seq_length") or 0 for name in _SETTINGS]
    trained = max(map(int, lengths))
    pooled = "" if (path / MODULES).is_file() else f"it has no {MODULES}: tokens' mean is pooled; "
    found = [
        f"{pooled}before a query comes {said.query!r}, before a passage {said.passage!r} "
        "(query_prefix and passage_prefix in a spec)"
    ]
    measure = read_json(path / PROMPTS, {}).get("similarity_fn_name") or "cosine"
    if measure != "cosine":
        found.append(f"it was trained for the similarity '{measure}'; searches here use the cosine")
    if 0 < trained < spec.max_tokens:
        found.append(
            f"max_tokens {spec.max_tokens} in its spec, and sentence-transformers would cut its "
            f"texts at {trained} (max_seq_length)"
        )
    return found


def check_pairs(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for an encoder with a decoder, which has no score for a pair, and for a
    default prompt without a chat template, which `pair_tokenizer` does not write."""
    if checkpoint.config().get("is_encoder_decoder"):
        raise spec.error(
            f"config.json is of an encoder with a decoder ({checkpoint.config().get('model_type')})"
            "; possible: a cross-encoder of one part, such as BERT or XLM-RoBERTa"
        )
    if not checkpoint.has_chat_template() and default_prompt(spec, checkpoint.path):
        raise spec.error(
            f"{PROMPTS} names a default prompt, and a reranker's is only written in a chat "
            "template with the roles query and document; where it was trained without the prompt, "
            "remove default_prompt_name"
        )


def check_projection(spec: ModelSpec, unused: Collection[str]) -> None:
    """Raises `BuildError` for a ColBERT: the matrix behind its tokens would be left out."""
    if found := [name for name in unused if name in ("linear.weight", "colbert_linear.weight")]:
        raise spec.error(
            f"the checkpoint has {found[0]}, as ColBERT's have: tokens are compared behind that "
            "matrix, which an embedder does not have; possible: the embedder that it was trained "
            "from, or a cross-encoder"
        )


def check_answer_encoder(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for any model but a BERT with the uncased English vocabulary."""
    answer_weights(spec)
    kind = checkpoint.config().get("model_type")
    found = read_tokenizer(checkpoint).token_to_id("!")
    if kind != "bert" or found != FIRST_SIGN:
        raise spec.error(
            f"answer_weights in its spec, and the checkpoint is a '{kind}' whose vocabulary has "
            f"'!' at {found}; possible: a 'bert' with the uncased English vocabulary, which has "
            f"it at {FIRST_SIGN}"
        )


def remark_on_pairs(tokenizer: Tokenizer) -> str:
    """A note on rerankers made from LLMs: many were trained with a template that is in no file."""
    parts = tokenizer.encode("query", "passage").sequence_ids
    if 1 not in parts or parts[parts.index(1) - 1] != 0:
        return ""
    return (
        "its tokenizer puts nothing between query and passage: a model that was trained with a "
        "template around them is no good here"
    )


def lowered_tokenizer(path: Path) -> str:
    """tokenizer.json that makes texts lower case, if `do_lower_case` asks for that; else empty.

    sentence-transformers 6.2 does the same (base/modules/transformer.py).
    """
    if not any(read_json(path / name, {}).get("do_lower_case") for name in _SETTINGS):
        return ""
    tokenizer = Tokenizer.from_file(str(path / TOKENIZER_FILE))
    own = [tokenizer.normalizer] * (tokenizer.normalizer is not None)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *own])
    return str(tokenizer.to_str())


def positions(config: dict[str, Any]) -> int:
    """Number of positions for tokens; 0 where config.json doesn't limit them.

    RoBERTa and similar models count from the padding id + 1 (`create_position_ids_from_input_ids`).
    """
    most, _ = most_positions(text_config(config))
    begins = int(config.get("pad_token_id", 1) or 0) + 1
    return most - begins if most and config.get("model_type") in _COUNT_BEHIND_PADDING else most
