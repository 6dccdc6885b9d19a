"""The reranker that every peer serves, as its kind of checkpoint is served with libraries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer

MAX_TOKENS = 256
_BEFORE_WORDS, _LEAST_WEIGHT = 1995, 0.01
"""As builders/late_interaction.py weighs tokens: the last id before the first word."""
_BACKGROUND = Path(__file__).parents[3] / "builders" / "background.txt"

Question = tuple[str, list[str]]
"""A query and its passages."""


class Ranker(Protocol):
    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        """FP32 [passages] for each question, all computed together."""


def load_ranker(folder: Path, dtype: torch.dtype, is_late_interaction: bool) -> Ranker:
    """The ranker of a Hugging Face folder; the spec of our reranker says which kind it is."""
    return (TokenRanker if is_late_interaction else PairRanker)(folder, dtype)


class PairRanker:
    """A cross-encoder."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._model = CrossEncoder(
            str(folder), device="cpu", max_length=MAX_TOKENS, activation_fn=torch.nn.Identity()
        )
        self._model.to(dtype)

    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        pairs = [(query, passage) for query, passages in questions for passage in passages]
        logits = self._model.predict(pairs, convert_to_tensor=True, show_progress_bar=False)
        return list(logits.float().split([len(passages) for _, passages in questions]))


class TokenRanker:
    """Late interaction: each text is encoded once, then tokens are compared."""

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        self._model = SentenceTransformer(str(folder), device="cpu").to(dtype)
        self._model.max_seq_length = MAX_TOKENS
        self._background = self._tokens(_BACKGROUND.read_text(encoding="utf-8").splitlines())

    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        texts = [text for query, passages in questions for text in (query, *passages)]
        rows = iter(self._tokens(texts))
        found = []
        for query, passages in questions:
            tokens, weights = next(rows), self._weights(query)
            usual = torch.stack([(tokens @ row.T).amax(1) for row in self._background]).mean(0)
            best = [(tokens @ next(rows).T).amax(1) for _ in passages]
            found.append((torch.stack(best) + usual) / 2 @ weights / weights.sum())
        return found

    def _tokens(self, texts: Sequence[str]) -> list[torch.Tensor]:
        """FP32 [tokens, width] for each text, of length 1."""
        rows = self._model.encode(
            list(texts), output_value="token_embeddings", show_progress_bar=False
        )
        return [torch.nn.functional.normalize(row.float(), dim=-1) for row in rows]

    def _weights(self, query: str) -> torch.Tensor:
        ids = self._model.tokenizer(query, truncation=True, max_length=MAX_TOKENS)["input_ids"]
        return torch.log((torch.tensor(ids) - _BEFORE_WORDS).clamp(min=1)) + _LEAST_WEIGHT
