"""A second opinion of a reranker: an encoder trained to tell whether a passage answers a question.

Question and passage see each other, as in any cross-encoder. Its logit is late interaction of that
row, in which each token of the question has a learned weight, and what a linear head reads in [CLS]
and the question's mean. A token is marked if the other text has it too. Its weights begin as the
checkpoint's, whose embeddings it keeps (docs/decisions/0113).
"""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from transformers import BertModel
from transformers.modeling_outputs import SequenceClassifierOutput

from builders.checkpoint import Checkpoint
from builders.encoder_checkpoint import answer_weights
from builders.late_interaction import LEAST_WEIGHT
from builders.llm_reference import load_whole
from builders.spec import ModelSpec

SHARE = 0.05
"""What its logit counts beside late interaction (decision 0113)."""

_FIRST_SIGN = 999
"""Id of "!" in BERT's uncased English vocabulary: special tokens have lower ids."""
_MOST_GATE = 4.0
"""A learned weight multiplies a token's by e to the power of -4 to 4."""


def add_answers(spec: ModelSpec, checkpoint: Checkpoint, ranker: Any, dtype: Any) -> Any:
    """The ranker, with that opinion in its relevance; raises `BuildError` as `load_whole`."""
    answers = load_answer_encoder(spec, checkpoint, dtype)

    class Both(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.ranker, self.answers, self.config = ranker, answers, ranker.config

        def forward(self, **inputs: Any) -> Any:
            relevance = self.ranker(**inputs).logits
            return SequenceClassifierOutput(logits=relevance + SHARE * self.answers(**inputs))

    return Both().eval()


def load_answer_encoder(spec: ModelSpec, checkpoint: Checkpoint, dtype: Any) -> Any:
    """Gives FP32 [rows, 1] logits for INT64 [rows, tokens] ids, mask and types."""
    options = {"add_pooling_layer": False, "attn_implementation": "eager"}
    bert, _ = load_whole(spec, checkpoint, BertModel, dtype, **options)
    width = bert.config.hidden_size

    class AnswerEncoder(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bert = bert
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
            return torch.exp(self.scale[0]) * (late - self.scale[1]) + read

        def _late_interaction(self, ids: Any, states: Any, of_query: Any, of_passage: Any) -> Any:
            unit = torch.nn.functional.normalize(states, dim=-1)
            cosines = (unit @ unit.transpose(1, 2)).masked_fill(~of_passage[:, None, :], -1.0)
            rarity = torch.log((ids - _FIRST_SIGN + 1).clamp(min=1).to(torch.float32))
            gates = torch.exp(self.gate(states)[:, :, 0].clamp(-_MOST_GATE, _MOST_GATE))
            weights = (rarity + LEAST_WEIGHT) * gates * of_query
            total = weights.sum(1, keepdim=True).clamp(min=LEAST_WEIGHT)
            return (cosines.amax(-1) * weights).sum(1, keepdim=True) / total

    encoder = AnswerEncoder()
    _load(spec, encoder, answer_weights(spec))
    encoder.bert.to(dtype)
    return encoder.eval()


def _marks(ids: Any, types: Any) -> Any:
    """0 for tokens of the question, 2 for the passage's; 1 more if the other text has it too."""
    is_word = ids >= _FIRST_SIGN
    is_same = (ids[:, :, None] == ids[:, None, :]) & (types[:, :, None] != types[:, None, :])
    is_found = is_same & is_word[:, :, None] & is_word[:, None, :]
    return is_found.to(torch.int64).amax(-1) + 2 * types


def _load(spec: ModelSpec, encoder: Any, path: Path) -> None:
    """All that is trained; raises `BuildError` for weights of another model."""
    weights = {name: value.to(torch.float32) for name, value in load_file(path).items()}
    own = {n: v.shape for n, v in encoder.state_dict().items() if "bert.embeddings" not in n}
    if {name: value.shape for name, value in weights.items()} != own:
        raise spec.error(f"answer_weights: {path.name} is of a model of another shape")
    encoder.to(torch.float32).load_state_dict(weights, strict=False)
