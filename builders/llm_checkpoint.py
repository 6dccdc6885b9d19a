"""What the files of an LLM's checkpoint say: where answers end, how long texts can be."""

import json
import math
from importlib.metadata import version
from typing import Any

from tokenizers import Tokenizer

from builders.build_steps import Progress
from builders.checkpoint import CHAT_TEMPLATE, Checkpoint, Facts
from builders.errors import BuildError
from builders.llm_prompt import added_template, prompt_of
from builders.spec import ModelSpec, Sku
from ensembles.manifest import TOKENIZER_FILE

TOKENIZER_CONFIG = "tokenizer_config.json"
SPECIAL_TOKENS_MAP = "special_tokens_map.json"

_POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""Names of the field with the number of positions, in the configurations of transformers."""

_LENGTH_DEPENDENT = ("dynamic", "longrope", "su")
"""Kinds of RoPE scaling; `su` is an older name of longrope."""

KV_BLOCK_TOKENS = 32
"""The engine keeps one block of OpenVINO's KV cache free (python_backends.engines.openvino_llm)."""


def llm_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """The facts of an LLM; raises `BuildError` for what the model or the SKU lacks."""
    check_positions(spec, checkpoint)
    check_kv_cache(spec, sku)
    if "auto_map" in (config := checkpoint.config()):
        progress(
            "config.json brings code of its own (auto_map), which is not run: transformers' own "
            f"'{config.get('model_type')}' is"
        )
    template, sentence = added_template(spec, checkpoint)
    if sentence:
        progress(sentence)
    texts = {CHAT_TEMPLATE: template, TOKENIZER_CONFIG: tokenizer_settings(checkpoint)}
    return Facts(
        spec.max_tokens,
        eos_token_ids(checkpoint),
        vocabulary(checkpoint),
        prompt_of(spec),
        texts={name: text for name, text in texts.items() if text},
    )


def eos_token_ids(checkpoint: Checkpoint) -> tuple[int, ...]:
    """Every id that a file names as an end of sequence: chat models often name several."""
    config = checkpoint.config()
    tables = [config, text_config(config), checkpoint.table("generation_config.json")]
    said = [table.get("eos_token_id") for table in tables]
    found = [i for ids in said for i in (ids if isinstance(ids, list) else [ids]) if i is not None]
    files = (TOKENIZER_CONFIG, SPECIAL_TOKENS_MAP)
    tokens = [checkpoint.table(name).get("eos_token") for name in files]
    tokenizer = read_tokenizer(checkpoint)
    named = {tokenizer.token_to_id(_content(token)) for token in tokens if token} - {None}
    if wrong := [i for i in found if not isinstance(i, int)]:
        raise BuildError(f"{checkpoint.path}: eos_token_id is {wrong[0]!r}, which is no token's id")
    return tuple(sorted({*found, *named}))


def tokenizer_settings(checkpoint: Checkpoint) -> str:
    """tokenizer_config.json with the tokens that only special_tokens_map.json names; else empty.

    Chat templates write these: without its first token a model answers worse, without any error.
    """
    settings = checkpoint.table(TOKENIZER_CONFIG)
    named = checkpoint.table(SPECIAL_TOKENS_MAP).items()
    lacking = {name: token for name, token in named if name not in settings}
    return json.dumps(settings | lacking, ensure_ascii=False) if lacking else ""


def read_tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """The checkpoint's tokenizer; raises `BuildError` for a file that is damaged or too new."""
    path = checkpoint.path / TOKENIZER_FILE
    try:
        return Tokenizer.from_str(path.read_text(encoding="utf-8"))
    except Exception as error:  # the library raises no class of its own
        raise BuildError(
            f"{path} is not a tokenizer, damaged, or of a kind that tokenizers "
            f"{version('tokenizers')} does not have: {error}"
        ) from error


def vocabulary(checkpoint: Checkpoint) -> int:
    """How many ids the model has embeddings for; 0 where config.json doesn't say."""
    return int(text_config(checkpoint.config()).get("vocab_size") or 0)


def check_vocabulary(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` for a tokenizer of another model: it has ids without an embedding.

    Added tokens may be without one: some published tokenizers have more of them than their model.
    Those that are put around every text may not.
    """
    size, tokenizer = vocabulary(checkpoint), read_tokenizer(checkpoint)
    plain = tokenizer.get_vocab(with_added_tokens=False).values()
    most = max([*plain, *tokenizer.encode("").ids], default=0)
    if 0 < size <= most:
        raise spec.error(
            f"{TOKENIZER_FILE} has the id {most}, and config.json a vocab_size of {size}: they are "
            "not of one model; copy the tokenizer's files from where the weights are from"
        )


def text_config(config: dict[str, Any]) -> dict[str, Any]:
    """The part of config.json about text: of multimodal models it is a table of its own."""
    inner = config.get("text_config")
    return inner if isinstance(inner, dict) else config


def check_positions(spec: ModelSpec, checkpoint: Checkpoint) -> None:
    """Raises `BuildError` when the spec wants longer texts than the model has positions for."""
    positions, why = most_positions(text_config(checkpoint.config()))
    if positions and spec.max_tokens > positions:
        raise spec.error(
            f"max_tokens {spec.max_tokens} in its spec, and its config.json has {positions} "
            f"positions{why}: lower max_tokens"
        )


def check_kv_cache(spec: ModelSpec, sku: Sku) -> None:
    """Raises `BuildError` when the longest request would not fit the placement's KV memory."""
    tokens = sku.place("llm").parameters.get("kv_cache_tokens")
    if tokens is None:
        return
    longest = (int(tokens) // KV_BLOCK_TOKENS - 1) * KV_BLOCK_TOKENS
    if longest < spec.max_tokens:
        needed = (math.ceil(spec.max_tokens / KV_BLOCK_TOKENS) + 1) * KV_BLOCK_TOKENS
        raise spec.error(
            f"max_tokens {spec.max_tokens} in its spec, and kv_cache_tokens {tokens} in "
            f"builders/placements/{sku.config_name}.toml hold a request of {longest}: raise "
            f"kv_cache_tokens to {needed}, or lower max_tokens"
        )


def most_positions(config: dict[str, Any]) -> tuple[int, str]:
    """Positions of a model, and what limits them; 0 where config.json doesn't say, as with ALiBi.

    RoPE scaling multiplies the original number. If the angles depend on the length of a request
    (`dynamic`, `longrope`), the original number holds: a batch has the angles of one length.
    """
    told = next((int(config[name]) for name in _POSITIONS if config.get(name)), 0)
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    name = "original_max_position_embeddings"
    original = int(rope.get(name) or config.get(name) or 0)
    kind = rope.get("rope_type", rope.get("type"))
    if kind in _LENGTH_DEPENDENT:
        why = f", beyond which the angles of its RoPE ({kind}) depend on each request's length"
        return min(told, original or told), why
    return max(told, int(original * float(rope.get("factor") or 1))), ""


def _content(token: Any) -> str:
    """The text of a token, which is written as text or as a table with the text."""
    return str(token.get("content") if isinstance(token, dict) else token)
