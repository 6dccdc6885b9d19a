"""What manifest and engine folder hold beyond the files that a build makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from builders.build_steps import Progress
from builders.checkpoint import CHAT_TEMPLATE, Checkpoint
from builders.checkpoint_files import MODULES
from builders.checkpoint_kind import check_kind
from builders.cpu_llm import check_kv_cache
from builders.encoder_checkpoint import (
    check_late_interaction,
    check_modules,
    check_own_code,
    check_pairs,
    dimensions,
    lowered_tokenizer,
    positions,
    prefixes,
    remark_on_pairs,
    remarks,
)
from builders.llm_checkpoint import (
    TOKENIZER_CONFIG,
    check_positions,
    check_vocabulary,
    eos_token_ids,
    read_tokenizer,
    tokenizer_settings,
    vocabulary,
)
from builders.llm_prompt import added_template, prompt_of
from builders.pair_template import read_pair_template
from builders.spec import ModelSpec, Sku
from ensembles.manifest import TOKENIZER_FILE, PairText, Prefixes, Prompt


@dataclass
class Facts:
    """`texts` are files by name; `comparison` says how near the engine is to the reference
    implementation. `unguided` says why the engine can't follow a guide."""

    max_tokens: int
    eos_token_ids: tuple[int, ...] = ()
    vocabulary: int = 0
    prompt: Prompt = field(default_factory=Prompt)
    prefixes: Prefixes = field(default_factory=Prefixes)
    pair_text: PairText = field(default_factory=PairText)
    dimensions: int = 0
    texts: Mapping[str, str] = field(default_factory=dict)
    comparison: str = ""
    unguided: str = ""


def read_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """Reads spec and checkpoint; raises `BuildError` for what model or machine lack."""
    try:
        check_kind(spec, checkpoint.config(), (checkpoint.path / MODULES).is_file())
        check_vocabulary(spec, checkpoint)
        if spec.role == "llm":
            return _llm_facts(spec, sku, checkpoint, progress)
        return _encoder_facts(spec, checkpoint, progress)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise spec.error(
            f"a JSON file in {checkpoint.path} has a value of another kind than transformers "
            f"writes: {error}"
        ) from error


def _llm_facts(spec: ModelSpec, sku: Sku, checkpoint: Checkpoint, progress: Progress) -> Facts:
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


def _encoder_facts(spec: ModelSpec, checkpoint: Checkpoint, progress: Progress) -> Facts:
    """An encoder truncates, so a spec that allows more than the model has is cut, not refused."""
    check_own_code(spec, checkpoint)
    most = positions(checkpoint.config()) or spec.max_tokens
    if most < spec.max_tokens:
        progress(
            f"max_tokens {spec.max_tokens} is more than its {most} positions: lowered to {most}"
        )
    if spec.role == "reranker":
        if spec.late_interaction:
            check_late_interaction(spec, checkpoint)
        check_pairs(spec, checkpoint)
        if checkpoint.has_chat_template():
            text, tokenizer = read_pair_template(spec, checkpoint)
            texts = {TOKENIZER_FILE: tokenizer}
            return Facts(min(most, spec.max_tokens), pair_text=text, texts=texts)
        if remark := remark_on_pairs(read_tokenizer(checkpoint)):
            progress(remark)
        return Facts(min(most, spec.max_tokens))
    check_modules(spec, checkpoint.path)
    lowered, said = lowered_tokenizer(checkpoint.path), prefixes(spec, checkpoint.path)
    for remark in remarks(spec, checkpoint.path, said):
        progress(remark)
    return Facts(
        min(most, spec.max_tokens),
        prefixes=said,
        dimensions=dimensions(spec, checkpoint.path),
        texts={TOKENIZER_FILE: lowered} if lowered else {},
    )
