"""A reranker that is an LLM: its logit of one token, such as "yes", is the relevance.

sentence-transformers' module LogitScore names the token, and may name a second one ("no") whose
logit is subtracted. One row of the output head is enough to compute it.
"""

from typing import Any

from builders.checkpoint import Checkpoint
from builders.checkpoint_files import modules, read_json
from builders.llm_reference import load_whole
from builders.spec import ModelSpec


def score_tokens(spec: ModelSpec, checkpoint: Checkpoint) -> tuple[int, int | None] | None:
    """The ids that LogitScore names; None where modules.json has no such module."""
    for kind, folder in modules(checkpoint.path):
        if kind.endswith(".LogitScore"):
            config = read_json(folder / "config.json", {})
            if not isinstance(config.get("true_token_id"), int):
                raise spec.error(f"{folder.name}/config.json: no true_token_id, a token's id")
            return config["true_token_id"], config.get("false_token_id")
    return None


def load_logit_score(
    spec: ModelSpec, checkpoint: Checkpoint, tokens: tuple[int, int | None], dtype: Any
) -> Any:
    """A module that is called and answers as transformers' classifiers with one label are.

    Raises `BuildError` for weights that are missing.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.modeling_outputs import SequenceClassifierOutput

    llm, _ = load_whole(spec, checkpoint, AutoModelForCausalLM, dtype, attn_implementation="eager")
    head = llm.get_output_embeddings().weight.detach()
    is_true, is_false = tokens
    row = head[is_true] if is_false is None else head[is_true] - head[is_false]

    class LogitScore(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.decoder, self.config = llm.base_model, llm.config
            self.config.pad_token_id = self.config.pad_token_id or 0  # it is not looked at
            self.register_buffer("row", row[:, None].clone())

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.decoder(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False
            ).last_hidden_state
            last = (attention_mask.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[-1])
            return SequenceClassifierOutput(logits=states.gather(1, last)[:, 0] @ self.row)

    return LogitScore().eval()
