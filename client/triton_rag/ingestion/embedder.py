"""What ingest asks of the server's embedder: counts of tokens, and embeddings."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from triton_rag.client import Client
from triton_rag.errors import Overloaded, ServerUnreachable

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_LONGEST = "max_passage_tokens"
MAX_TEXTS = 1024
"""Texts in one request for counts; the `tokenizer` takes no more."""
MOST_KNOWN = 1_000_000
"""Most words whose counts are kept; then all are forgotten, which only costs time."""
RETRY_S = 60.0
"""How long a server may be away: a restart takes less."""
_FIRST_PAUSE_S, _TOLD_PAUSE_S = 0.2, 1.5
"""The first pause between retries, and the pause from which the waiting is logged."""


def with_retries(call: Callable[[], T], retry_s: float = RETRY_S) -> T:
    """The result of a call that is repeated while the server is away or has no room."""
    end_s, pause_s, is_told = time.monotonic() + retry_s, _FIRST_PAUSE_S, False
    while True:
        try:
            return call()
        except (Overloaded, ServerUnreachable) as error:
            if time.monotonic() + pause_s > end_s:
                raise
            if pause_s >= _TOLD_PAUSE_S and not is_told:
                is_told = True
                LOG.warning("waiting up to %.0f s: %s", end_s - time.monotonic(), error)
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, 5.0)


class Embedder:
    """The embedder of a server; safe to share between threads, except for `count_tokens`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, int] = {}

    @cached_property
    def passage_tokens(self) -> int:
        """The longest passage that the server itself makes, in tokens."""
        return with_retries(lambda: int(self._client.setting("passage_splitter", _LONGEST)))

    def count_tokens(self, words: Sequence[str]) -> list[int]:
        """The number of tokens of each word. The server is asked once for each different word."""
        if len(self._known) > MOST_KNOWN:
            self._known.clear()
        new = sorted({word for word in words if word not in self._known}, key=len)
        for start in range(0, len(new), MAX_TEXTS):
            portion = new[start : start + MAX_TEXTS]
            counts = self._count(portion) - self._frame_tokens
            self._known.update(zip(portion, counts.tolist(), strict=True))
        return [self._known[word] for word in words]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """The embeddings of passages, FP32 [texts, dimension]."""
        return with_retries(lambda: self._client.embed(texts, input_type="passage"))

    def _count(self, texts: Sequence[str]) -> NDArray[np.int64]:
        return with_retries(lambda: self._client.count_tokens(texts))

    @cached_property
    def _frame_tokens(self) -> int:
        """Special tokens around every text: twice the count of one word minus that of two words."""
        one, two = self._count(["a", "a a"]).tolist()
        return int(2 * one - two)
