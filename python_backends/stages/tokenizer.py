"""`tokenizer`: texts to padded ids of the embedder's vocabulary."""

from ensembles.contracts import TOKENIZER
from python_backends.stage import Outputs, Stage, StageContext, Tensors
from python_backends.tokenization import load_encoder_tokenizer, padded, require_text


class TokenizerStage(Stage):
    """Texts longer than the encoder are cut at its limit, as sentence-transformers does."""

    contract = TOKENIZER

    def __init__(self, context: StageContext) -> None:
        self._tokenizer = load_encoder_tokenizer(context.engine_folder())

    def answer(self, request: Tensors) -> Outputs:
        """Ids and mask, INT64 [texts, longest text]."""
        rows = self._tokenizer.encode_batch(require_text("text", request.texts("text")))
        return {
            "input_ids": padded(rows, "ids"),
            "attention_mask": padded(rows, "attention_mask"),
        }
