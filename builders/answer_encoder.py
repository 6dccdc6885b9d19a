"""A cross-encoder, made of an embedder and trained to tell whether a passage answers a question.

Question and passage are one row, and their tokens attend to each other. The logit is a late
interaction within that row, similar to ColBERT's: for each token of the question, the highest
cosine with a token of the passage, averaged with learned weights. A linear head adds a value from
[CLS] and the mean of the question's tokens. Tokens that both texts have are marked. The token
embeddings are the checkpoint's, all else is trained (docs/decisions/0114).
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import BertModel
from transformers.modeling_outputs import SequenceClassifierOutput

from builders.checkpoint import Checkpoint
from builders.checkpoint_files import answer_weights
from builders.encoder_checkpoint import FIRST_SIGN
from builders.llm_reference import load_whole
from builders.spec import ModelSpec

_LEAST_WEIGHT = 0.01
"""Weight of a token that is no word, so that a question without words has a relevance too."""
_MOST_GATE = 4.0
"""A learned gate multiplies a token's weight by e to the power of -4 to 4."""


def load_answer_encoder(spec: ModelSpec, checkpoint: Checkpoint, dtype: Any) -> Any:
    """The model, called like a classifier of transformers with one label; raises `BuildError`."""
    options = {"add_pooling_layer": False, "attn_implementation": "eager"}
    bert, _ = load_whole(spec, checkpoint, BertModel, dtype, **options)
    width = bert.config.hidden_size

    class AnswerEncoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bert, self.config = bert, bert.config
            self.match = torch.nn.Embedding(4, width)
            self.gate = torch.nn.Linear(width, 1, bias=False)
            self.head = torch.nn.Linear(2 * width, 1)
            self.scale = torch.nn.Parameter(torch.zeros(2))

        def forward(self, input_ids: Any, attention_mask: Any, token_type_ids: Any) -> Any:
            words = self.bert.embeddings.word_embeddings(input_ids)
            marks = self.match(_marks(input_ids, token_type_ids)).to(words.dtype)
            states = self.bert(
                inputs_embeds=words + marks,
                attention_mask=attention_mask,
                token_type_ids=torch.zeros_like(token_type_ids),
            ).last_hidden_state.to(torch.float32)
            of_query = (attention_mask * (1 - token_type_ids)).to(torch.float32)
            of_passage = (attention_mask * token_type_ids).bool()
            late = self._late_interaction(input_ids, states, of_query, of_passage)
            count = of_query.sum(1, keepdim=True).clamp(min=1)
            mean = (states * of_query[:, :, None]).sum(1) / count
            read = self.head(torch.cat([states[:, 0], mean], 1))
            logit = torch.exp(self.scale[0]) * (late - self.scale[1]) + read
            return SequenceClassifierOutput(logits=logit)

        def _late_interaction(self, ids: Any, states: Any, of_query: Any, of_passage: Any) -> Any:
            unit = torch.nn.functional.normalize(states, dim=-1)
            cosines = (unit @ unit.transpose(1, 2)).masked_fill(~of_passage[:, None, :], -1.0)
            rarity = torch.log((ids - FIRST_SIGN + 1).clamp(min=1).to(torch.float32))
            gates = torch.exp(self.gate(states)[:, :, 0].clamp(-_MOST_GATE, _MOST_GATE))
            weights = (rarity + _LEAST_WEIGHT) * gates * of_query
            total = weights.sum(1, keepdim=True).clamp(min=_LEAST_WEIGHT)
            return (cosines.amax(-1) * weights).sum(1, keepdim=True) / total

    encoder = AnswerEncoder()
    _load(spec, encoder, answer_weights(spec))
    encoder.bert.to(dtype)
    return encoder.eval()


def _marks(ids: Any, types: Any) -> Any:
    """0 for tokens of the question, 2 for those of the passage; 1 more if both texts have it."""
    is_word = ids >= FIRST_SIGN
    is_same = (ids[:, :, None] == ids[:, None, :]) & (types[:, :, None] != types[:, None, :])
    is_found = is_same & is_word[:, :, None] & is_word[:, None, :]
    return is_found.to(torch.int64).amax(-1) + 2 * types


def _load(spec: ModelSpec, encoder: Any, path: Path) -> None:
    """Load all trained weights; raises `BuildError` for weights of another model."""
    weights = {name: value.to(torch.float32) for name, value in load_file(path).items()}
    own = {n: v.shape for n, v in encoder.state_dict().items() if "bert.embeddings" not in n}
    if {name: value.shape for name, value in weights.items()} != own:
        raise spec.error(f"answer_weights: {path.name} is of a model of another shape")
    encoder.to(torch.float32).load_state_dict(weights, strict=False)
