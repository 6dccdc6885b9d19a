"""The reference implementations of encoders: sentence-transformers' and transformers' modules."""

from typing import Any

import torch
import transformers
from transformers.modeling_outputs import SequenceClassifierOutput

from builders.answer_encoder import load_answer_encoder
from builders.checkpoint import Checkpoint
from builders.checkpoint_files import modules, read_json
from builders.checkpoint_kind import is_llm
from builders.encoder_checkpoint import check_projection
from builders.errors import refusing
from builders.llm_checkpoint import read_tokenizer
from builders.llm_reference import load_whole
from builders.spec import ModelSpec


def load_embedder(spec: ModelSpec, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """sentence-transformers' model; without modules.json it pools by mean. Raises `BuildError`."""
    from sentence_transformers import SentenceTransformer

    is_t5 = str(checkpoint.config().get("model_type")).endswith("t5")  # embeds by its encoder
    kind = transformers.AutoModelForTextEncoding if is_t5 else transformers.AutoModel
    check_projection(spec, load_whole(spec, checkpoint, kind, dtype)[1])
    with refusing(spec, "sentence-transformers can't load the checkpoint"):
        model = SentenceTransformer(
            str(checkpoint.path),
            device="cpu",
            local_files_only=True,
            model_kwargs={"attn_implementation": "eager", "dtype": dtype},
        )
    if model.tokenizer.pad_token is None:  # it asks for one even where nothing is padded
        model.tokenizer.pad_token = model.tokenizer.convert_ids_to_tokens(0)
    return model.eval()


def load_classifier(spec: ModelSpec, checkpoint: Checkpoint, dtype: torch.dtype) -> Any:
    """transformers' classifier, or a model that is called like one; raises `BuildError` for more
    than one label."""
    if spec.answer_weights and not is_llm(checkpoint.config()):
        return load_answer_encoder(spec, checkpoint, dtype)
    if tokens := score_tokens(spec, checkpoint):
        return load_logit_score(spec, checkpoint, tokens, dtype)
    kind = transformers.AutoModelForSequenceClassification
    classifier, _ = load_whole(spec, checkpoint, kind, dtype, attn_implementation="eager")
    if classifier.config.num_labels != 1:
        raise spec.error(
            f"its head has {classifier.config.num_labels} labels; a reranker has one, whose logit "
            "is the relevance"
        )
    if classifier.config.pad_token_id is None:
        classifier.config.pad_token_id = _unused_id(classifier.config, checkpoint)
    return classifier


def _unused_id(config: Any, checkpoint: Checkpoint) -> int:
    """An id for padding that no text has: the padding token, or else the vocabulary's last id."""
    pad = checkpoint.table("tokenizer_config.json").get("pad_token")
    token = pad.get("content") if isinstance(pad, dict) else pad
    found = read_tokenizer(checkpoint).token_to_id(token) if token else None
    return int(config.vocab_size) - 1 if found is None else int(found)


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
    spec: ModelSpec, checkpoint: Checkpoint, tokens: tuple[int, int | None], dtype: torch.dtype
) -> Any:
    """A model that computes an LLM's logit of one token minus that of another."""
    llm, _ = load_whole(
        spec, checkpoint, transformers.AutoModelForCausalLM, dtype, attn_implementation="eager"
    )
    head = llm.get_output_embeddings().weight.detach()
    is_true, is_false = tokens
    row = head[is_true] if is_false is None else head[is_true] - head[is_false]

    class LogitScore(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.decoder, self.config = llm.base_model, llm.config
            self.config.pad_token_id = self.config.pad_token_id or 0  # the value is not used
            self.register_buffer("row", row[:, None].clone())

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            states = self.decoder(
                input_ids=input_ids, attention_mask=attention_mask, use_cache=False
            ).last_hidden_state
            last = (attention_mask.sum(1) - 1)[:, None, None].expand(-1, 1, states.shape[-1])
            return SequenceClassifierOutput(logits=states.gather(1, last)[:, 0] @ self.row)

    return LogitScore().eval()
