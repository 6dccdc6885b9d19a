"""The reranker that every peer serves, as its kind of checkpoint is served with libraries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file
from sentence_transformers import CrossEncoder, SentenceTransformer
from transformers import AutoTokenizer, BertModel

MAX_TOKENS = 256
_BEFORE_WORDS, _LEAST_WEIGHT = 1995, 0.01
"""As builders/late_interaction.py weighs tokens: the last id before the first word."""
_FIRST_SIGN, _ANSWER_SHARE, _BATCH_ROWS = 999, 0.05, 32
"""As builders/answer_encoder.py: the id of "!", and what its logit counts."""
_BACKGROUND = Path(__file__).parents[3] / "builders" / "background.txt"

Question = tuple[str, list[str]]
"""A query and its passages."""


class Ranker(Protocol):
    def relevance(self, questions: Sequence[Question]) -> list[torch.Tensor]:
        """FP32 [passages] for each question, all computed together."""


def load_ranker(
    folder: Path, dtype: torch.dtype, is_late_interaction: bool, answer_weights: Path | None
) -> Ranker:
    """The ranker of a Hugging Face folder; the spec of our reranker says which kind it is."""
    if not is_late_interaction:
        return PairRanker(folder, dtype)
    late = TokenRanker(folder, dtype)
    return AnswerRanker(late, folder, dtype, answer_weights) if answer_weights else late


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


class AnswerRanker:
    """Late interaction, and the logit of an encoder that was trained to tell answers.

    As builders/answer_encoder.py computes it: `weights` has its matrices.
    """

    def __init__(self, late: TokenRanker, folder: Path, dtype: torch.dtype, weights: Path) -> None:
        self._late, self._dtype = late, dtype
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
        opinions = logits.split([len(passages) for _, passages in questions])
        late = self._late.relevance(questions)
        return [one + _ANSWER_SHARE * other for one, other in zip(late, opinions, strict=True)]

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
