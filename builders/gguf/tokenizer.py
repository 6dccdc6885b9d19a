"""tokenizer.json and its settings from a GGUF: text gets the ids of the model's training."""

import tomllib
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers.tokenization_utils_base import generate_merges

from builders.errors import GgufError
from builders.gguf.reader import Gguf
from builders.llm_spec import SpecFile


class _Splitting(SpecFile):
    """How a byte-level tokenizer splits text; splitting.toml says what its fields are."""

    names: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    whole_words: bool = False
    bos: bool = False
    nfc: bool = False


_ROWS = tomllib.loads(Path(__file__).with_name("splitting.toml").read_text(encoding="utf-8"))
_SPLITTINGS = {name: _Splitting(**row) for row in _ROWS["splitting"] for name in row["names"]}

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4
"""Types of tokens in `tokenizer.ggml.token_type`; 1 is a normal one."""

_ENDS = ("<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>", "<|end|>")
"""Control tokens that end an answer in llama.cpp too, whatever the file names as its end."""

_FIRST_IDS = {"bos": 1, "eos": 2, "unknown": 0}
"""What llama.cpp assumes where the file of a SentencePiece vocabulary names no ids."""


class GgufTokenizer:
    """The tokenizer in a GGUF. Raises `GgufError` for one that isn't there or isn't known."""

    def __init__(self, fields: Gguf) -> None:
        self._fields = fields
        model = fields.read("tokenizer.ggml.model", str, "none")
        if model not in ("gpt2", "llama"):
            raise GgufError(
                f"field 'tokenizer.ggml.model' is {model!r:.60}; possible: gpt2 (byte-level BPE), "
                "llama (SentencePiece)"
            )
        self._sentencepiece = model == "llama"
        words = fields.read_list("tokenizer.ggml.tokens", str)
        self.words = [word or f"[EMPTY_{number}]" for number, word in enumerate(words)]
        self._ids = {word: number for number, word in enumerate(self.words)}
        if len(self._ids) < len(self.words):
            raise GgufError("field 'tokenizer.ggml.tokens' has a token twice")
        self._types = self._for_each_token("token_type", int)
        self._splitting = _Splitting(bos=True) if self._sentencepiece else self._named()

    def ids(self) -> dict[str, Any]:
        """The ids of generation_config.json; `eos_token_id` lists all that end an answer."""
        named = [self._special(name) for name in ("eos", "eot", "eom")]
        listed = [self._ids[word] for word in _ENDS if word in self._ids]
        ends = [*named, *(number for number in listed if self._types[number] == _CONTROL)]
        known = list(dict.fromkeys(number for number in ends if number is not None))
        if not known:
            raise GgufError(
                "field 'tokenizer.ggml.eos_token_id' is missing, so nothing would end an answer"
            )
        found = {f"{n}_token_id": i for n, i in self._named_ids().items() if n != "unk"}
        return found | {"eos_token_id": known}

    def settings(self) -> dict[str, Any]:
        """tokenizer_config.json, with the chat template if the file has one."""
        template = self._fields.read("tokenizer.chat_template", str, "")
        return {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            **{f"{name}_token": self.words[i] for name, i in self._named_ids().items()},
            **({"chat_template": template} if template else {}),
        }

    def tokenizer_json(self) -> str:
        tokenizer = self._sentencepiece_model() if self._sentencepiece else self._byte_level_model()
        for kind, special in ((_CONTROL, True), (_UNKNOWN, True), (_USER_DEFINED, False)):
            added = [
                AddedToken(word, special=special, normalized=False)
                for word, found in zip(self.words, self._types, strict=True)
                if found == kind
            ]
            (tokenizer.add_special_tokens if special else tokenizer.add_tokens)(added)
        self._frame(tokenizer)
        return str(tokenizer.to_str())

    def _named(self) -> _Splitting:
        name = self._fields.read("tokenizer.ggml.pre", str)
        if name not in _SPLITTINGS:
            raise GgufError(
                f"field 'tokenizer.ggml.pre', how text is split, is {name!r:.60}; "
                f"possible: {', '.join(_SPLITTINGS)}"
            )
        return _SPLITTINGS[name]

    def _for_each_token(self, name: str, kind: type[Any]) -> list[Any]:
        values = self._fields.read_list(f"tokenizer.ggml.{name}", kind)
        if len(values) != len(self.words):
            raise GgufError(
                f"field 'tokenizer.ggml.{name}' has {len(values)} entries for "
                f"{len(self.words)} tokens"
            )
        return values

    def _named_ids(self) -> dict[str, int]:
        """Ids of the special tokens, by transformers' names."""
        names = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown"}
        ids = {name: self._special(field) for name, field in names.items()}
        return {name: number for name, number in ids.items() if number is not None}

    def _special(self, name: str) -> int | None:
        key = f"tokenizer.ggml.{name}_token_id"
        number = self._fields.read(key, int, -1)
        if number >= len(self.words):
            raise GgufError(f"field '{key}' is {number}; there are {len(self.words)} tokens")
        if number < 0:
            return _FIRST_IDS.get(name) if self._sentencepiece else None
        return number

    def _byte_level_model(self) -> Any:
        pairs = [_pair(merge) for merge in self._fields.read_list("tokenizer.ggml.merges", str)]
        tokenizer = Tokenizer(self._bpe(pairs, ignore_merges=self._splitting.whole_words))
        splits = [
            pre_tokenizers.Split(Regex(pattern), "isolated") for pattern in self._splitting.patterns
        ]
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [*splits, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
        )
        tokenizer.decoder = decoders.ByteLevel()
        if self._splitting.nfc:
            tokenizer.normalizer = normalizers.NFC()
        return tokenizer

    def _sentencepiece_model(self) -> Any:
        unknown = self.words[self._special("unknown") or 0]
        tokenizer = Tokenizer(
            self._bpe(self._merges(), unk_token=unknown, fuse_unk=True, byte_fallback=True)
        )
        prefix = self._fields.read("tokenizer.ggml.add_space_prefix", bool, True)
        space = normalizers.Replace(" ", "▁")
        tokenizer.normalizer = (
            normalizers.Sequence([normalizers.Prepend("▁"), space]) if prefix else space
        )
        steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        tokenizer.decoder = decoders.Sequence(steps + [decoders.Strip(" ", 1, 0)] * prefix)
        return tokenizer

    def _bpe(self, merges: list[tuple[str, str]], **options: Any) -> Any:
        try:
            return BPE(self._ids, merges, **options)
        except Exception as error:  # of the library's Rust code: a merge of unknown tokens
            raise GgufError(
                f"field 'tokenizer.ggml.merges' does not fit the tokens: {error}"
            ) from error

    def _merges(self) -> list[tuple[str, str]]:
        """All ways to make a token of two others: those of the best score first."""
        scores = dict(zip(self.words, self._for_each_token("scores", float), strict=True))
        control = [word for word, n in self._ids.items() if self._types[n] == _CONTROL]
        merges: list[tuple[str, str]] = generate_merges(self._ids, scores, control)
        return merges

    def _frame(self, tokenizer: Any) -> None:
        """The first and last tokens of a text that isn't rendered by a chat template."""
        read = self._fields.read
        frame = {
            "bos": read("tokenizer.ggml.add_bos_token", bool, self._splitting.bos),
            "eos": read("tokenizer.ggml.add_eos_token", bool, False),
        }
        words = {}
        for name in (name for name, added in frame.items() if added):
            number = self._special(name)
            if number is None:
                raise GgufError(f"field 'tokenizer.ggml.{name}_token_id' is missing; texts need it")
            words[name] = (self.words[number], number)
        first, last = ([words[n][0]] if n in words else [] for n in ("bos", "eos"))
        if words:
            tokenizer.post_processor = TemplateProcessing(
                single=[*first, "$A", *last],
                pair=[*first, "$A", *last, *first, "$B:1", *last],
                special_tokens=list(dict.fromkeys(words.values())),
            )


def _pair(merge: str) -> tuple[str, str]:
    """A merge's halves: the space between them is not the first character."""
    cut = merge.find(" ", 1)
    if cut < 0:
        raise GgufError(f"field 'tokenizer.ggml.merges' has the entry {merge!r:.40} of one part")
    return merge[:cut], merge[cut + 1 :]
