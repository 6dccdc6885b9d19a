"""The reranker as torch runs it, in training and evaluation: pairs of texts to logits."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import AutoConfig, AutoTokenizer, BertForSequenceClassification

from builders.reference.reranker import LAYERS, LONGEST_PAIR

PAIRS_AT_ONCE = 8

Pair = tuple[str, str]


class CrossEncoder:
    """A one-label sequence classifier and its tokenizer."""

    def __init__(self, model: BertForSequenceClassification, folder: Path) -> None:
        self.model = model
        self._tokenizer = AutoTokenizer.from_pretrained(folder)

    @classmethod
    def load(cls, folder: Path) -> "CrossEncoder":
        """The finished checkpoint in ``folder``, ready to score."""
        model = BertForSequenceClassification.from_pretrained(folder)
        model.requires_grad_(False).train(False)
        return cls(model, folder)

    @classmethod
    def untrained(cls, minilm_folder: Path) -> "CrossEncoder":
        """The embedder's first layers under a new classifier; its embedding tables are frozen."""
        # Without dropout: so short a training underfits, it does not overfit.
        config = AutoConfig.from_pretrained(
            minilm_folder,
            num_hidden_layers=LAYERS,
            num_labels=1,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        model = BertForSequenceClassification.from_pretrained(minilm_folder, config=config)
        model.bert.embeddings.requires_grad_(False)
        return cls(model, minilm_folder)

    def logits(self, pairs: Sequence[Pair]) -> Tensor:
        """Relevance in the order of ``pairs``: float32 of shape [pairs]."""
        # Pairs of similar length share a forward pass, so little is computed on padding.
        order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][1]))
        parts = [order[i : i + PAIRS_AT_ONCE] for i in range(0, len(order), PAIRS_AT_ONCE)]
        by_length = torch.cat([self._forward([pairs[i] for i in part]) for part in parts])
        return by_length[torch.tensor(order).argsort()]

    def scores(self, query: str, passages: Sequence[str]) -> npt.NDArray[np.float32]:
        """Relevance of each passage to the query: float32 of shape [passages]."""
        with torch.inference_mode():
            logits: npt.NDArray[np.float32] = self.logits([(query, p) for p in passages]).numpy()
        return logits

    def _forward(self, pairs: Sequence[Pair]) -> Tensor:
        tokens = self._tokenizer(
            [query for query, _ in pairs],
            [passage for _, passage in pairs],
            padding=True,
            truncation="only_second",
            max_length=LONGEST_PAIR,
            return_tensors="pt",
        )
        logits: Tensor = self.model(**tokens).logits
        return logits.squeeze(-1).float()
