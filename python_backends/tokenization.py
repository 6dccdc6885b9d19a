"""The checkpoints' tokenizers, and checks of the texts that go into them."""

from typing import TYPE_CHECKING

import numpy as np

from ensembles.manifest import TOKENIZER_FILE
from python_backends.context import EngineFolder
from python_backends.errors import RequestError
from python_backends.tensors import Array

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def load_tokenizer(folder: EngineFolder) -> "Tokenizer":
    """The tokenizer without truncation and padding; raises `ManifestError` if its file changed."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder.file(TOKENIZER_FILE)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_encoder_tokenizer(folder: EngineFolder) -> "Tokenizer":
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(folder.manifest.max_tokens)
    return tokenizer


def padded(rows: "list[Encoding]", field: str, fill: int = 0) -> Array:
    """One field of the encodings as INT64 [rows, longest row], padded on the right."""
    array = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for row, encoding in zip(array, rows, strict=True):
        row[: len(encoding)] = getattr(encoding, field)
    return array


def require_text(name: str, texts: list[str]) -> list[str]:
    """`texts`; raises `RequestError` if there are none or one is blank."""
    if not texts:
        raise RequestError(f"{name}: none given; at least one is needed")
    for index, text in enumerate(texts):
        if not text.strip():
            raise RequestError(f"{name}[{index}]: empty; a text is needed")
    return texts
