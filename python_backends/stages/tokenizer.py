"""`tokenizer`: texts to padded token ids of the embedder."""

from dataclasses import asdict

from ensembles.contracts import TOKENIZER
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import (
    beginnings,
    keeps_whole,
    load_encoder_tokenizer,
    padded,
    require_question,
    require_text,
    require_whole,
)


class TokenizerStage(Stage):
    """Puts the embedder's prefix before each text, and truncates as sentence-transformers does.

    Only the beginning of a long text is tokenized, so a longer text takes no longer.
    """

    contract = TOKENIZER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_encoder_tokenizer(folder)
        self._prefixes: dict[str, str] = asdict(folder.manifest.prefixes)
        self._max_tokens = folder.manifest.max_tokens
        self._max_texts = context.integer("max_texts")
        self._max_question_tokens = context.integer("max_question_tokens")

    def answer(self, request: Tensors) -> Outputs:
        if ("query_text" in request) == ("input_text" in request):
            raise RequestError("input_text, query_text: exactly one of them is needed")
        texts = self._query(request) if "query_text" in request else self._texts(request)
        rows = self._tokenizer.encode_batch(texts)
        if keeps_whole(request) and "input_text" in request:
            require_whole("input_text", request.texts("input_text"), rows, self._max_tokens)
        return {"input_ids": padded(rows, "ids"), "attention_mask": padded(rows, "attention_mask")}

    def _texts(self, request: Tensors) -> list[str]:
        prefix = self._prefix(request)
        texts = request.texts("input_text")
        if len(texts) > self._max_texts:
            raise RequestError(
                f"input_text: {len(texts):,} texts; at most {self._max_texts:,} are possible"
            )
        begins = beginnings(require_text("input_text", texts), self._max_tokens)
        return [prefix + text for text in begins]

    def _query(self, request: Tensors) -> list[str]:
        """The question, which must be short enough for the next models: they don't truncate it."""
        question = request.text("query_text")
        require_question(self._tokenizer, question, self._max_question_tokens)
        return [self._prefixes["query"] + question]

    def _prefix(self, request: Tensors) -> str:
        kind = request.text("input_type", "text")
        if kind not in self._prefixes:
            possible = ", ".join(self._prefixes)
            raise RequestError(f"input_type: '{kind[:20]}' given; possible are {possible}")
        return self._prefixes[kind]
