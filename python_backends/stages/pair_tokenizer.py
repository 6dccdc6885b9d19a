"""`pair_tokenizer` and `reader_tokenizer`: pairs of the query and each passage to token ids."""

from ensembles.contracts import PAIR_TOKENIZER, READER_TOKENIZER
from ensembles.manifest import PairText
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stage import Stage
from python_backends.tensors import Outputs, Tensors
from python_backends.tokenization import (
    beginnings,
    keeps_whole,
    load_tokenizer,
    padded,
    require_length,
    require_text,
    require_whole,
    token_ids,
)

_MIN_PASSAGE_TOKENS = 16
"""A query that leaves less room for a passage is refused."""
_MOST_READ_TOKENS = 64
"""Tokens of a query that the reader gets, but at most a quarter of its room."""


class PairTokenizerStage(Stage):
    """Truncates the passage of a pair that is too long, never the query."""

    contract = PAIR_TOKENIZER

    def __init__(self, context: StageContext) -> None:
        folder = context.engine_folder()
        self._tokenizer = load_tokenizer(folder)
        self._query_tokenizer = load_tokenizer(folder)  # "only_second" can't truncate a single text
        self._pair_text = folder.manifest.pair_text
        if self._pair_text != PairText():  # a chat: no passage may end its turn
            self._tokenizer.encode_special_tokens = True
            self._query_tokenizer.encode_special_tokens = True
        self._room = folder.manifest.max_tokens - self._tokenizer.num_special_tokens_to_add(True)
        self._max_tokens = folder.manifest.max_tokens
        self._max_passages = context.integer("max_passages")
        self._tokenizer.enable_truncation(folder.manifest.max_tokens, strategy="only_second")

    def answer(self, request: Tensors) -> Outputs:
        given = require_text("query", [request.text("query")])[0]
        passages = request.texts("passages")
        if len(passages) > self._max_passages:
            raise RequestError(
                f"passages: {len(passages):,} given; at most {self._max_passages:,} are possible"
            )
        around = self._pair_text
        query = f"{around.before_query}{self._fitting(given)}{around.after_query}"
        self._check_query(query)
        begins = beginnings(require_text("passages", passages), self._max_tokens)
        rows = self._tokenizer.encode_batch(
            [(query, around.before_passage + passage) for passage in begins]
        )
        if keeps_whole(request):
            require_whole("passages", passages, rows, self._max_tokens)
        return {
            "input_ids": padded(rows, "ids"),
            "attention_mask": padded(rows, "attention_mask"),
            "token_type_ids": padded(rows, "type_ids"),
        }

    def _fitting(self, query: str) -> str:
        """The part of the query that is read."""
        return query

    def _check_query(self, query: str) -> None:
        require_length("query", len(query), self._room)
        tokens = len(token_ids(self._query_tokenizer, query))
        if tokens > self._room - _MIN_PASSAGE_TOKENS:
            raise RequestError(
                f"query: {tokens} tokens; at most {self._room - _MIN_PASSAGE_TOKENS} leave room "
                f"for a passage within the reranker's {self._room}"
            )


class ReaderTokenizerStage(PairTokenizerStage):
    """Truncates the query too: what can be searched for can be read."""

    contract = READER_TOKENIZER

    def _fitting(self, query: str) -> str:
        most = min(_MOST_READ_TOKENS, self._room // 4)
        (begin,) = beginnings([query], most)
        (row,) = self._query_tokenizer.encode_batch([begin], add_special_tokens=False)
        ends = [end for _, end in row.offsets[:most]]
        return begin[: max(ends, default=0)] or begin
