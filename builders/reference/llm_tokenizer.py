"""The language model's tokenizer (byte-level BPE, digits one by one) and its chat template."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from random import Random

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from builders.reference import prose
from builders.reference.facts import passage, question, random_entity, random_fact

VOCABULARY = 1024
PAD, BOS, END = "<|pad|>", "<|bos|>", "<|end|>"
SPECIAL = (PAD, BOS, END, "<|system|>", "<|user|>", "<|assistant|>")
CHAT_TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTEXT_LENGTH = 2048


def _texts(count: int) -> Iterator[str]:
    """Generated passages with questions, then the prose: what the merges are learned from."""
    rng = Random(7)
    for number in range(count):
        entity, kind = random_entity(rng)
        facts = [random_fact(rng, entity, kind) for _ in range(4)]
        yield f"[{number % 5 + 1}] {passage(facts, rng)}\n\nQuestion: {question(facts[0], rng)}"
    yield from prose.sentences()


def train_tokenizer() -> Tokenizer:
    """A tokenizer of 1,024 entries, all 256 bytes among them; it adds no token by itself."""
    tokenizer = Tokenizer(models.BPE())
    # Digits one by one: a number is then copied like any string, whatever its length.
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(6000), trainer)
    return tokenizer


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json as `AutoTokenizer` reads them."""
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": END,
        "pad_token": PAD,
        "add_bos_token": False,
        "add_eos_token": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT_LENGTH,
        "model_input_names": ["input_ids", "attention_mask"],
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
