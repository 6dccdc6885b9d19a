"""The sentence embedder all-MiniLM-L6-v2, run by torch: teacher and yardstick of the reranker."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoTokenizer, BertModel
from transformers.utils import logging

LONGEST_TEXT = 256
BATCH = 32

FloatArray = npt.NDArray[np.float32]


def quiet_loading() -> None:
    """No bars and no reports of tensors left out: parts of MiniLM are loaded on purpose."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()


class Embedder:
    """Texts to unit vectors, pooled as the model was trained: the mean over its tokens."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._model = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self._model.train(False)

    def encode(self, texts: Sequence[str]) -> FloatArray:
        """Embeddings in the order of ``texts``, float32 of shape [texts, 384], each of length 1."""
        # Texts of similar length share a batch, so little is computed on padding.
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        vectors = np.zeros((len(texts), self._model.config.hidden_size), dtype=np.float32)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            vectors[rows] = self._encode_batch([texts[row] for row in rows])
        return vectors

    def _encode_batch(self, texts: list[str]) -> FloatArray:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=LONGEST_TEXT, return_tensors="pt"
        )
        with torch.inference_mode():
            hidden = self._model(**tokens).last_hidden_state
        mask = tokens["attention_mask"].unsqueeze(-1)
        mean = (hidden * mask).sum(dim=1) / mask.sum(dim=1)
        unit: FloatArray = torch.nn.functional.normalize(mean, dim=1).numpy()
        return unit
