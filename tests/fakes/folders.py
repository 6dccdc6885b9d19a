"""Engine folders with real tokenizers, small enough to be made inside a test."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from ensembles.manifest import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    Manifest,
    PairText,
    Prefixes,
    Prompt,
    Sampling,
    sha256,
)

CHAT_TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}"
)

TEXTS = (
    "The quick brown fox jumps over the lazy dog. It's raining!",
    "日本語のテキスト、你好世界。",
    "Ünïcödé 😀🎉 e\u0301 a\n\nb",
)


def word_level(words: Iterable[str]) -> Tokenizer:
    """One id a word or punctuation mark; BERT's special tokens around texts and pairs."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    vocabulary = {word: i for i, word in enumerate([*special, *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece(prefix="##", cleanup=False)
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def byte_level(texts: Iterable[str] = TEXTS, vocab_size: int = 320) -> Tokenizer:
    """Byte-level BPE, as of GPT-2, Llama 3 or Qwen: tokens may end inside a character."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def sentence_piece() -> Tokenizer:
    """As of Llama 2 or Mistral: `▁` for spaces, bytes for characters outside the vocabulary."""
    vocabulary = {"<unk>": 0, "<s>": 1, "</s>": 2}
    pieces = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces += list("▁abcdefghijklmnopqrstuvwxyzT.,!'é你好")
    merges = [("▁", "t"), ("h", "e"), ("▁t", "he"), ("▁", "a"), ("▁", "▁")]
    for piece in [*pieces, *(a + b for a, b in merges)]:
        vocabulary[piece] = len(vocabulary)
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True)
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(split=False)
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def word_piece() -> Tokenizer:
    """As of BERT: `##` continues a word, spaces are put between words."""
    pieces = ["[UNK]", *"abcdefghijklmnopqrstuvwxyz.,!'", *(f"##{c}" for c in "abcdefghijklmnop")]
    pieces += ["the", "##ing", "fox"]
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def chat_tokenizer() -> Tokenizer:
    """Byte-level, with the special tokens of `CHAT_TEMPLATE`."""
    tokenizer = byte_level()
    roles = ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>")
    tokenizer.add_special_tokens([AddedToken(role, special=True) for role in roles])
    return tokenizer


def make_folder(
    path: Path,
    tokenizer: Tokenizer,
    role: str = "embedder",
    max_tokens: int = 64,
    sampling: Sampling | None = None,
    chat_template: object = CHAT_TEMPLATE,
    files: Mapping[str, str] | None = None,
    engine: str = "openvino",
    eos_token_ids: tuple[int, ...] = (1,),
    plan: Mapping[str, object] | None = None,
    prompt: Prompt | None = None,
    prefixes: Prefixes | None = None,
    pair_text: PairText | None = None,
    dimensions: int = 0,
    relevance_percent: int = 100,
) -> Path:
    """An engine folder as builders publish it, without the engine's own files."""
    path.mkdir(parents=True)
    tokenizer.save(str(path / TOKENIZER_FILE))
    config = {"eos_token": "</s>"} | ({"chat_template": chat_template} if chat_template else {})
    texts = {"tokenizer_config.json": json.dumps(config)} | dict(files or {})
    for name, text in texts.items():
        (path / name).write_text(text)
    manifest = Manifest(
        role=role,
        model="tiny",
        sku="cpu",
        key="0123456789abcdef",
        precision="fp32",
        max_tokens=max_tokens,
        checkpoint_sha256="0" * 64,
        files={file.name: sha256(file) for file in path.iterdir()},
        versions={"tool": "1.0"},
        engine=engine,
        prefixes=prefixes or Prefixes(),
        pair_text=pair_text or PairText(),
        dimensions=dimensions,
        relevance_percent=relevance_percent,
        plan=plan or {},
        eos_token_ids=eos_token_ids,
        sampling=sampling or Sampling(max_tokens=16),
        prompt=prompt or Prompt(),
    )
    (path / MANIFEST_FILE).write_text(manifest.to_json())
    return path
