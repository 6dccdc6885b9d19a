"""`tokenizer`: texts to padded token ids of the embedder."""

from ensembles.contracts import TOKENIZER
from python_backends.context import StageContext
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import load_encoder_tokenizer, padded, require_text


class TokenizerStage(Stage):
    """Truncates texts at the embedder's limit, as sentence-transformers does."""

    contract = TOKENIZER

    def __init__(self, context: StageContext) -> None:
        self._tokenizer = load_encoder_tokenizer(context.engine_folder())

    def answer(self, request: Tensors) -> Outputs:
        rows = self._tokenizer.encode_batch(require_text("text", request.texts("text")))
        return {
            "input_ids": padded(rows, "ids"),
            "attention_mask": padded(rows, "attention_mask"),
        }
