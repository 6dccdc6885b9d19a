"""A reranker that compares token by token: late interaction, as ColBERT's.

Query and passage stand in one row, and no token sees the other text. Each token of the query finds
the passage's most similar one, and those of a background: texts that answer nothing. Relevance is
the mean of these cosines, in which rare words count more. A word that the passage has no like of
lowers it, which the embedding of a whole text hides. The background adds the same to all passages
of a query: it changes no order, and lowers questions in words that no text has.
"""

from collections.abc import Collection
from typing import Any

import torch
from transformers import BertModel
from transformers.modeling_outputs import SequenceClassifierOutput

from builders.checkpoint import Checkpoint
from builders.encoder_checkpoint import BACKGROUND, FIRST_WORD
from builders.llm_checkpoint import read_tokenizer
from builders.llm_reference import load_whole
from builders.spec import ModelSpec

LEAST_WEIGHT = 0.01
"""The weight of a token that is no word: a query without words has a relevance too."""


def check_projection(spec: ModelSpec, unused: Collection[str]) -> None:
    """Raises `BuildError` for a ColBERT, whose tokens go through a matrix that is left out."""
    if found := [name for name in unused if name in ("linear.weight", "colbert_linear.weight")]:
        raise spec.error(
            f"the checkpoint has {found[0]}, as ColBERT's have: tokens are compared behind that "
            "matrix, and neither an embedder nor late_interaction has it; possible: the embedder "
            "that it was trained from, or a cross-encoder"
        )


def load_late_interaction(spec: ModelSpec, checkpoint: Checkpoint, dtype: Any) -> Any:
    """Called as transformers' classifiers with one label; raises `BuildError` as `load_whole`."""
    options = {"add_pooling_layer": False, "attn_implementation": "eager"}
    bert, left_out = load_whole(spec, checkpoint, BertModel, dtype, **options)
    check_projection(spec, left_out)

    class LateInteraction(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bert, self.config = bert, bert.config
            self.register_buffer("background", _background(bert, checkpoint))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            # The passage gets the first token, [CLS], too: at the end, but counted as its first.
            ids = torch.cat([input_ids, input_ids[:, :1]], 1)
            ones = torch.ones_like(ids[:, :1])
            mask = torch.cat([attention_mask, ones], 1)
            types = torch.cat([token_type_ids, ones], 1)
            of_query, of_passage = (mask * (1 - types)).bool(), (mask * types).bool()
            tokens = self.bert(
                input_ids=ids,
                attention_mask=_apart(mask, types, dtype),
                position_ids=_positions(of_query, types),
                token_type_ids=torch.zeros_like(types),
            ).last_hidden_state
            tokens = torch.nn.functional.normalize(tokens.to(torch.float32), dim=-1)
            cosines = tokens @ tokens.transpose(1, 2)
            best = cosines.masked_fill(~of_passage[:, None, :], -1.0).amax(-1)
            usual = (tokens[:, None] @ self.background).amax(-1).mean(1)
            rarity = torch.log((ids - FIRST_WORD + 1).clamp(min=1).to(torch.float32))
            weights = (rarity + LEAST_WEIGHT) * of_query.to(torch.float32)
            # Without any query token 0, and not NaN: an engine must not fail on a row.
            total = weights.sum(-1, keepdim=True).clamp(min=LEAST_WEIGHT)
            relevance = ((best + usual) / 2 * weights).sum(-1, keepdim=True) / total
            return SequenceClassifierOutput(logits=relevance)

    return LateInteraction().eval()


def _background(bert: Any, checkpoint: Checkpoint) -> Any:
    """FP32 [passages, width, tokens]: unit vectors; the first one of a passage fills it up."""
    tokenizer = read_tokenizer(checkpoint)
    tokenizer.no_padding()
    rows = []
    with torch.no_grad():
        for text in BACKGROUND.read_text(encoding="utf-8").splitlines():
            ids = torch.tensor([tokenizer.encode(text).ids])
            found = bert.eval()(input_ids=ids).last_hidden_state[0].to(torch.float32)
            rows.append(torch.nn.functional.normalize(found, dim=-1))
    longest = max(map(len, rows))
    filled = [torch.cat([row, row[:1].expand(longest - len(row), -1)]) for row in rows]
    return torch.stack(filled).transpose(1, 2).contiguous()


def _apart(mask: Any, types: Any, dtype: Any) -> Any:
    """[rows, 1, tokens, tokens]: 0 where a token sees another of its own text, else the lowest
    float."""
    sees = (types[:, :, None] == types[:, None, :]) & mask[:, None, :].bool()
    lowest = torch.tensor(torch.finfo(dtype).min, dtype=dtype)
    return torch.where(sees, torch.zeros((), dtype=dtype), lowest)[:, None]


def _positions(of_query: Any, types: Any) -> Any:
    """Each text is counted from its own beginning, and the last column is the passage's."""
    places = torch.cumsum(torch.ones_like(types), 1) - 1
    places = places - types * (of_query.sum(1, keepdim=True) - 1)
    return torch.cat([places[:, :-1], torch.zeros_like(places[:, :1])], 1)
