"""`tokenizer`: texts to padded token ids of the embedder."""

from dataclasses import asdict

from ensembles.contracts import TOKENIZER
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import load_encoder_tokenizer, padded, require_text


class TokenizerStage(Stage):
    """Puts the embedder's prefix before each text, and truncates as sentence-transformers does."""

    contract = TOKENIZER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_encoder_tokenizer(folder)
        self._prefixes: dict[str, str] = asdict(folder.manifest.prefixes)

    def answer(self, request: Tensors) -> Outputs:
        prefix = self._prefix(request)
        texts = require_text("text", request.texts("text"))
        rows = self._tokenizer.encode_batch([prefix + text for text in texts])
        return {
            "input_ids": padded(rows, "ids"),
            "attention_mask": padded(rows, "attention_mask"),
        }

    def _prefix(self, request: Tensors) -> str:
        kind = request.text("input_type") if "input_type" in request else "text"
        if kind not in self._prefixes:
            possible = ", ".join(self._prefixes)
            raise RequestError(f"input_type: '{kind[:20]}' given; possible are {possible}")
        return self._prefixes[kind]
