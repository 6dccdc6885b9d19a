"""The checkpoints' tokenizers, and checks of the texts that go into them."""

from typing import TYPE_CHECKING

import numpy as np

from ensembles.manifest import TOKENIZER_FILE
from python_backends.context import EngineFolder
from python_backends.errors import RequestError
from python_backends.tensors import Array, Tensors

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHARACTERS_PER_TOKEN = 32
"""Most characters per token, averaged over a text: words of all scripts have 1 to 6. It limits how
much of a text is tokenized."""


def most_characters(tokens: int) -> int:
    """How many characters of a text are tokenized when `tokens` tokens of it are kept."""
    return tokens * CHARACTERS_PER_TOKEN


def require_length(name: str, characters: int, tokens: int, escape: int = 1) -> None:
    """Raises `RequestError` for a text that can't fit, before any work on it.

    `escape` is how many characters may encode one, as in JSON.
    """
    most = most_characters(tokens) * escape
    if characters > most:
        raise RequestError(
            f"{name}: {characters:,} characters; at most {most:,} are possible where "
            f"{tokens:,} tokens are"
        )


def token_ids(tokenizer: "Tokenizer", text: str, add_special_tokens: bool = False) -> list[int]:
    """The ids of one text. `encode` would hold Python's lock, and all streams would wait."""
    ids: list[int] = tokenizer.encode_batch([text], add_special_tokens=add_special_tokens)[0].ids
    return ids


def load_tokenizer(folder: EngineFolder) -> "Tokenizer":
    """The tokenizer without truncation and padding; raises `ManifestError` if its file changed."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder.file(TOKENIZER_FILE)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def vocabulary_size(folder: EngineFolder) -> int:
    """One more than the highest token id of the checkpoint's tokenizer."""
    vocabulary: dict[str, int] = load_tokenizer(folder).get_vocab()
    return 1 + max(vocabulary.values())


def load_encoder_tokenizer(folder: EngineFolder) -> "Tokenizer":
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(folder.manifest.max_tokens)
    return tokenizer


def padded(rows: "list[Encoding]", field: str) -> Array:
    """One field of the encodings as INT64 [rows, longest row], padded with 0 on the right."""
    array = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for row, encoding in zip(array, rows, strict=True):
        row[: len(encoding)] = getattr(encoding, field)
    return array


def keeps_whole(request: Tensors) -> bool:
    """Whether `truncate` is none; raises `RequestError` where it is neither none nor end."""
    truncate = request.text("truncate", "end")
    if truncate not in ("end", "none"):
        raise RequestError(f"truncate: '{truncate[:20]}' given; possible are end, none")
    return truncate == "none"


def beginnings(texts: list[str], tokens: int) -> list[str]:
    """The part of each text that is tokenized when `tokens` tokens of it are kept."""
    return [text[: most_characters(tokens)] for text in texts]


def require_whole(name: str, texts: list[str], rows: "list[Encoding]", tokens: int) -> None:
    """Raises `RequestError` for the first of `texts` that has more than `tokens` tokens.

    `rows` are the encodings of their `beginnings`, truncated to so many tokens.
    """
    for index, (text, row) in enumerate(zip(texts, rows, strict=True)):
        if row.overflowing or len(text) > most_characters(tokens):
            raise RequestError(
                f"{name}[{index}]: more than {tokens} tokens, and truncate is none; a shorter "
                "text, or truncate end, is possible"
            )


def require_text(name: str, texts: list[str]) -> list[str]:
    """`texts`; raises `RequestError` if there are none or one is blank."""
    if not texts:
        raise RequestError(f"{name}: none given; at least one is needed")
    for index, text in enumerate(texts):
        if not text.strip():
            raise RequestError(f"{name}[{index}]: empty; a text is needed")
    return texts


def require_question(tokenizer: "Tokenizer", question: str, most_tokens: int) -> None:
    """Raises `RequestError` for a question that leaves no room for a passage beside it."""
    require_text("question", [question])
    require_length("question", len(question), most_tokens)
    tokens = len(token_ids(tokenizer, question))
    if tokens > most_tokens:
        raise RequestError(f"question: {tokens} tokens; at most {most_tokens} are possible")
