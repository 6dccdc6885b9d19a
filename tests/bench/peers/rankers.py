"""The reranker and the reader that every peer serves, each as libraries serve its kind."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder
from transformers import AutoTokenizer, BertModel

MAX_TOKENS = 256
_FIRST_SIGN, _LEAST_WEIGHT, _BATCH_ROWS = 999, 0.01, 32
"""As builders/answer_encoder.py weighs tokens: the id of "!", and what is no word."""

Question = tuple[str, list[str]]
"""A query and its passages."""


class Ranker(Protocol):
    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        """FP32 [passages] for each question, all computed together."""


def load_ranker(folder: Path, dtype: torch.dtype, answer_weights: str) -> Ranker:
    """The ranker of a Hugging Face folder; `answer_weights`: path of what an embedder was trained
    to, empty for other kinds."""
    if answer_weights:
        return AnswerRanker(folder, dtype, Path(answer_weights))
    return PairRanker(folder, dtype)


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


class AnswerRanker:
    """An embedder that was trained further to tell answers; `weights` has what was trained.

    As builders/answer_encoder.py computes it.
    """

    def __init__(self, folder: Path, dtype: torch.dtype, weights: Path) -> None:
        self._dtype = dtype
        self._tokenizer = AutoTokenizer.from_pretrained(folder)
        self._bert = BertModel.from_pretrained(folder, add_pooling_layer=False)
        self._own = {name: value.float() for name, value in load_file(weights).items()}
        prefix = "bert."
        matrices = {n[len(prefix) :]: v for n, v in self._own.items() if n.startswith(prefix)}
        self._bert.load_state_dict(matrices, strict=False)
        self._bert.to(dtype).eval()

    @torch.inference_mode()
    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        pairs = [(query, passage) for query, passages in questions for passage in passages]
        order = sorted(range(len(pairs)), key=lambda number: -sum(map(len, pairs[number])))
        logits = torch.zeros(len(pairs))
        for begin in range(0, len(order), _BATCH_ROWS):
            numbers = order[begin : begin + _BATCH_ROWS]
            logits[numbers] = self._logits([pairs[number] for number in numbers])
        return list(logits.split([len(passages) for _, passages in questions]))

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> torch.Tensor:
        queries, passages = zip(*pairs, strict=True)
        row = self._tokenizer(
            list(queries), list(passages), padding=True, truncation="longest_first",
            max_length=MAX_TOKENS, return_tensors="pt",
        )  # fmt: skip
        ids, mask, types = row["input_ids"], row["attention_mask"], row["token_type_ids"]
        of_query, of_passage = (mask * (1 - types)).float(), (mask * types).bool()
        is_other = (types[:, :, None] != types[:, None, :]) & (ids[:, None, :] >= _FIRST_SIGN)
        has_like = (ids[:, :, None] == ids[:, None, :]) & is_other
        marks = self._own["match.weight"][has_like.any(-1).long() + 2 * types]
        words = self._bert.embeddings.word_embeddings(ids) + marks.to(self._dtype)
        states = self._bert(inputs_embeds=words, attention_mask=mask).last_hidden_state.float()
        unit = torch.nn.functional.normalize(states, dim=-1)
        best = (unit @ unit.mT).masked_fill(~of_passage[:, None, :], -1).amax(-1)
        gates = (states @ self._own["gate.weight"][0]).clamp(-4, 4).exp()
        rarity = (ids - _FIRST_SIGN + 1).clamp(min=1).float().log() + _LEAST_WEIGHT
        weights = rarity * gates * of_query
        late = (best * weights).sum(1) / weights.sum(1)
        mean = (states * of_query[:, :, None]).sum(1) / of_query.sum(1, keepdim=True)
        seen = torch.cat([states[:, 0], mean], 1)
        read = seen @ self._own["head.weight"][0] + self._own["head.bias"]
        slope, middle = self._own["scale"]
        return slope.exp() * (late - middle) + read
