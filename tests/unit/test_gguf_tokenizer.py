"""Tokenizers of GGUF files: how text is split, SentencePiece's merges, special tokens, refusals."""

import itertools
import json
import random

import pytest
import transformers
from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import ByteLevel

from builders.errors import GgufError
from builders.gguf.reader import Gguf
from builders.gguf.tokenizer import GgufTokenizer
from tests.fakes import folders, gguf_files

BYTES = sorted(ByteLevel.alphabet())
CONTROL, USER_DEFINED = 3, 4


def tokenizer_of(fields) -> Tokenizer:
    return Tokenizer.from_str(GgufTokenizer(Gguf(fields, {})).tokenizer_json())


def trained(pre: str, **changes):
    """Fields of a byte-level tokenizer with 320 trained tokens."""
    model = folders.byte_level().to_str()
    vocabulary = Tokenizer.from_str(model).get_vocab()
    merges = [" ".join(pair) for pair in json.loads(model)["model"]["merges"]]
    words = sorted(vocabulary, key=vocabulary.get)
    types = [CONTROL if word in ("<s>", "</s>") else 1 for word in words]
    ids = {"bos_token_id": vocabulary["<s>"], "eos_token_id": vocabulary["</s>"]}
    return gguf_files.tokenizer(
        pre=pre, tokens=words, token_type=types, merges=merges, **ids, **changes
    )


TEXT = "It's 12345 DON'T  stop\n\n über-cool!!\r\n x² 日本"
PIECES = {
    "gpt-2": "It|'s| 12345| DON|'|T| | stop|\n\n| über|-|cool|!!|\r\n| x|²| 日本",
    "smollm": "It|'s| |1|2|3|4|5| DON|'|T| | stop|\n\n| über|-|cool|!!|\r\n| x|²| 日本",
    "llama-bpe": "It|'s| |123|45| DON|'T| | stop|\n\n| über|-cool|!!\r\n| x|²| 日本",
    "qwen2": "It|'s| |1|2|3|4|5| DON|'T| | stop|\n\n| über|-cool|!!\r\n| x|²| 日本",
    "tekken": "It|'s| |1|2|3|4|5| DON|'T| | stop|\n\n| über|-cool|!!\r\n| x|²| 日本",
    "default": "It|'|s| |123|45| DON|'|T| | stop|\n\n| über|-|cool|!!|\r\n| x|²| 日本",
}
"""By hand, from each rule."""


@pytest.mark.parametrize("pre", PIECES)
def test_text_is_split_as_the_model_was_trained(pre):
    splitter = tokenizer_of(gguf_files.tokenizer(pre=pre)).pre_tokenizer
    assert [TEXT[a:b] for _, (a, b) in splitter.pre_tokenize_str(TEXT)] == PIECES[pre].split("|")


TEXTS = (*folders.TEXTS, TEXT, "", " ", "\n", "a\u00a0b\u2028c ٣٤ Ⅷ ½", "e\u0301 é", "x" * 50)


def fuzz(count: int):
    chance = random.Random(3)
    parts = [
        "a",
        "The",
        " ",
        "  ",
        "\n",
        "1",
        "23",
        "'s",
        "'LL",
        "é",
        "e\u0301",
        "日本",
        "😀",
        ".",
        "_",
    ]
    return ["".join(chance.choices(parts, k=chance.randint(1, 30))) for _ in range(count)]


@pytest.mark.parametrize(("pre", "own"), [("qwen2", "Qwen2Tokenizer"), ("gpt-2", "GPT2Tokenizer")])
def test_ids_are_those_of_the_model_s_own_class(pre, own):
    fields = trained(pre)
    words = fields["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]]
    vocabulary = {word: number for number, word in enumerate(words)}
    original = getattr(transformers, own)(vocab=vocabulary, merges=merges)
    tokenizer = tokenizer_of(fields)
    for text in (*TEXTS, *fuzz(300)):
        assert tokenizer.encode(text).ids == original.backend_tokenizer.encode(text).ids, text


@pytest.mark.parametrize("pre", PIECES)
def test_text_comes_back_from_its_ids(pre):
    tokenizer = tokenizer_of(trained(pre, add_bos_token=False))
    for text in fuzz(100):
        expected = text if pre != "qwen2" else text.replace("e\u0301", "é")
        assert tokenizer.decode(tokenizer.encode(text).ids) == expected


def test_llama_3_takes_whole_words_before_merges():
    words = [*gguf_files.WORDS, "hab"]  # no merge makes it
    fields = {"tokens": words, "token_type": [CONTROL] * 5 + [1] * (len(words) - 5)}
    by_pre = {
        pre: tokenizer_of(gguf_files.tokenizer(pre=pre, add_bos_token=False, **fields))
        for pre in ("llama-bpe", "smaug-bpe")
    }
    assert by_pre["llama-bpe"].encode("hab").tokens == ["hab"]
    assert by_pre["smaug-bpe"].encode("hab").tokens == ["h", "ab"]


@pytest.mark.parametrize(
    ("changes", "tokens"),
    [
        ({"pre": "smollm"}, ["ab"]),
        ({"pre": "smollm", "add_bos_token": True}, ["<s>", "ab"]),
        ({"pre": "llama-bpe"}, ["<s>", "ab"]),
        ({"pre": "llama-bpe", "add_bos_token": False}, ["ab"]),
        ({"pre": "smollm", "add_eos_token": True}, ["ab", "<|im_end|>"]),
    ],
)
def test_first_and_last_tokens_are_the_file_s_or_the_kind_s(changes, tokens):
    tokenizer = tokenizer_of(gguf_files.tokenizer(**changes))
    assert tokenizer.encode("ab").tokens == tokens
    assert tokenizer.encode("ab", add_special_tokens=False).tokens == ["ab"]


def test_control_tokens_are_single_ids_and_hidden_and_others_are_shown():
    types = [CONTROL] * 3 + [USER_DEFINED] + [CONTROL] + [1] * (len(gguf_files.WORDS) - 5)
    tokenizer = tokenizer_of(gguf_files.tokenizer(token_type=types))
    encoded = tokenizer.encode("<|im_start|>ab<|im_end|>")
    assert encoded.tokens == ["<|im_start|>", "ab", "<|im_end|>"]
    assert encoded.ids == [3, gguf_files.WORDS.index("ab"), 4]
    assert tokenizer.decode(encoded.ids) == "<|im_start|>ab"


# --- SentencePiece -----------------------------------------------------------------------------


def pieces(**changes):
    """Fields of a SentencePiece tokenizer: bytes, characters, and pieces of some words."""
    special = ["<unk>", "<s>", "</s>"]
    raw = [f"<0x{byte:02X}>" for byte in range(256)]
    merged = ["▁t", "he", "▁the", "er", "in", "▁a", "▁▁", "an", "▁an", "and", "▁and", "ab", "abab"]
    letters = [*"▁thernadbi"]
    words = [*special, *raw, *merged, *letters]
    scores = [0.0] * 259 + [-float(i) for i in range(len(merged) + len(letters))]
    types = [2, CONTROL, CONTROL] + [6] * 256 + [1] * (len(merged) + len(letters))
    fields = {"model": "llama", "pre": None, "merges": None, "tokens": words, "scores": scores}
    ids = {"token_type": types, "bos_token_id": 1, "eos_token_id": 2}
    return gguf_files.tokenizer(**fields | ids | changes)


def by_score(fields, text: str) -> list[str]:
    """SentencePiece's BPE: always merge the neighbours that make the best piece, leftmost first."""
    words = fields["tokenizer.ggml.tokens"]
    score = dict(zip(words, fields["tokenizer.ggml.scores"], strict=True))
    parts = list(("▁" + text.replace(" ", "▁")) if text else "")
    while True:
        found = [
            (-score[a + b], i)
            for i, (a, b) in enumerate(itertools.pairwise(parts))
            if a + b in score
        ]
        if not found:
            break
        _, i = min(found)
        parts[i : i + 2] = [parts[i] + parts[i + 1]]
    in_bytes = [[p] if p in score else [f"<0x{b:02X}>" for b in p.encode()] for p in parts]
    return [token for tokens in in_bytes for token in tokens]


def test_sentencepiece_merges_the_best_pieces_first():
    fields, chance = pieces(), random.Random(5)
    tokenizer = tokenizer_of(fields)
    texts = [
        "".join(chance.choices("then ran dabib é日", k=chance.randint(0, 25))) for _ in range(400)
    ]
    for text in ("the band and a hen", " a  b ", "", *texts):
        tokens = tokenizer.encode(text, add_special_tokens=False).tokens
        assert tokens == by_score(fields, text), text


def test_sentencepiece_begins_with_bos_and_gives_text_back():
    tokenizer = tokenizer_of(pieces())
    encoded = tokenizer.encode("the an 日\n")
    assert encoded.tokens[:2] == ["<s>", "▁the"]
    assert tokenizer.decode(encoded.ids) == "the an 日\n"
    plain = tokenizer_of(pieces(add_space_prefix=False))
    assert plain.encode("the", add_special_tokens=False).tokens == ["t", "he"]
    assert plain.decode(plain.encode(" the").ids) == " the"


# --- special ids and settings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "ends"),
    [
        ({}, [4]),
        ({"eos_token_id": 2}, [2, 4]),  # the template's end of a turn ends an answer too
        ({"eos_token_id": 2, "eot_token_id": 5}, [2, 5, 4]),
        ({"eos_token_id": None}, [4]),
    ],
)
def test_every_end_of_an_answer_is_listed(changes, ends):
    assert GgufTokenizer(Gguf(gguf_files.tokenizer(**changes), {})).ids()["eos_token_id"] == ends


def test_settings_name_the_special_tokens_and_hold_the_template():
    fields = gguf_files.tokenizer(padding_token_id=0) | {"tokenizer.chat_template": "{{ é }}"}
    settings = GgufTokenizer(Gguf(fields, {})).settings()
    assert settings["bos_token"] == "<s>"
    assert settings["eos_token"] == "<|im_end|>"
    assert settings["pad_token"] == "<unk>"
    assert settings["chat_template"] == "{{ é }}"
    assert "chat_template" not in GgufTokenizer(Gguf(gguf_files.tokenizer(), {})).settings()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"model": None}, "field 'tokenizer.ggml.model' is 'none'; possible: gpt2"),
        ({"model": "bert"}, "field 'tokenizer.ggml.model' is 'bert'; possible: gpt2"),
        ({"pre": "poet"}, "field 'tokenizer.ggml.pre', how text is split, is 'poet'; possible"),
        ({"pre": None}, "field 'tokenizer.ggml.pre' is missing"),
        ({"tokens": None}, "field 'tokenizer.ggml.tokens' is missing"),
        ({"tokens": ["a", "b", "a"]}, "field 'tokenizer.ggml.tokens' has a token twice"),
        ({"merges": None}, "field 'tokenizer.ggml.merges' is missing"),
        ({"merges": ["a b", "ab"]}, "field 'tokenizer.ggml.merges' has the entry 'ab' of one part"),
        ({"merges": ["a z"]}, "field 'tokenizer.ggml.merges' does not fit the tokens"),
        ({"token_type": [1]}, "field 'tokenizer.ggml.token_type' has 1 entries for 16 tokens"),
        ({"eos_token_id": 99}, "field 'tokenizer.ggml.eos_token_id' is 99; there are 16 tokens"),
        (
            {"bos_token_id": None, "add_bos_token": True},
            "field 'tokenizer.ggml.bos_token_id' is missing; texts need it",
        ),
        (
            {"eos_token_id": None, "token_type": [1] * 16},
            "field 'tokenizer.ggml.eos_token_id' is missing, so nothing would end an answer",
        ),
    ],
)
def test_a_tokenizer_that_is_not_there_or_not_known_is_named(changes, sentence):
    with pytest.raises(GgufError) as caught:
        made = GgufTokenizer(Gguf(gguf_files.tokenizer(**changes), {}))
        made.ids()
        made.tokenizer_json()
    assert str(caught.value).startswith(sentence)
