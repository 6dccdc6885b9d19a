"""Tokenizers as the checkpoint has them, with the limits that serving needs."""

from typing import TYPE_CHECKING

import numpy as np

from ensembles.manifest import TOKENIZER_FILE
from python_backends.stage import Array, EngineFolder, RequestError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer


def load_tokenizer(folder: EngineFolder) -> "Tokenizer":
    """The checkpoint's tokenizer, its bytes checked against the manifest, nothing cut or padded.

    Raises `ManifestError` when it changed since the build.
    """
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder.file(TOKENIZER_FILE)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def load_encoder_tokenizer(folder: EngineFolder) -> "Tokenizer":
    """As `load_tokenizer`, cutting at the encoder's limit."""
    tokenizer = load_tokenizer(folder)
    tokenizer.enable_truncation(folder.manifest.max_tokens)
    return tokenizer


def padded(rows: "list[Encoding]", field: str, fill: int = 0) -> Array:
    """INT64 [rows, longest row] of one field of the encodings, padded on the right."""
    array = np.full((len(rows), max(map(len, rows))), fill, dtype=np.int64)
    for row, encoding in zip(array, rows, strict=True):
        row[: len(encoding)] = getattr(encoding, field)
    return array


def require_text(name: str, texts: list[str]) -> list[str]:
    """`texts`, none of them blank and at least one; raises `RequestError`."""
    if not texts:
        raise RequestError(f"{name}: none given; at least one is needed")
    for index, text in enumerate(texts):
        if not text.strip():
            raise RequestError(f"{name}[{index}]: empty; a text is needed")
    return texts
