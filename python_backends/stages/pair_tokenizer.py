"""`pair_tokenizer`: one query with each passage, as pairs of the reranker's vocabulary."""

from ensembles.contracts import PAIR_TOKENIZER
from python_backends.stage import Outputs, RequestError, Stage, StageContext, Tensors
from python_backends.tokenization import load_tokenizer, padded, require_text

_MIN_PASSAGE_TOKENS = 16
"""A query that leaves a passage less than this can't be judged: it is refused."""


class PairTokenizerStage(Stage):
    """A pair that is too long loses the end of its passage, never of its query."""

    contract = PAIR_TOKENIZER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._query_tokenizer = load_tokenizer(folder)  # "only_second" can't cut a lone query
        self._room = folder.manifest.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        self._tokenizer.enable_truncation(folder.manifest.max_tokens, strategy="only_second")

    def answer(self, request: Tensors) -> Outputs:
        """Ids, mask and segment ids, INT64 [passages, longest pair]."""
        query = require_text("query", [request.text("query")])[0]
        passages = require_text("passages", request.texts("passages"))
        self._check_query(query)
        rows = self._tokenizer.encode_batch([(query, passage) for passage in passages])
        return {
            "input_ids": padded(rows, "ids"),
            "attention_mask": padded(rows, "attention_mask"),
            "token_type_ids": padded(rows, "type_ids"),
        }

    def _check_query(self, query: str) -> None:
        tokens = len(self._query_tokenizer.encode(query, add_special_tokens=False))
        if tokens > self._room - _MIN_PASSAGE_TOKENS:
            raise RequestError(
                f"query: {tokens} tokens; at most {self._room - _MIN_PASSAGE_TOKENS} leave room "
                f"for a passage within the reranker's {self._room}"
            )
