"""The results of calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ranked:
    index: int
    """Position of the passage in the list that was sent, from 0."""
    relevance: float
    """The reranker's score: a logit, higher is more relevant; not a probability."""


@dataclass(frozen=True)
class Source:
    """A passage that was found for a question."""

    text: str
    document: int
    """Position of its document in the list that was sent, from 0. From a collection: a number that
    passages of the same document share."""
    similarity: float
    """Mean of two cosines with the question, the passage's and its best sentence's, -1 to 1."""
    relevance: float
    """The reranker's score: a logit, higher is more relevant; not a probability."""
    id: str = ""
    """From a collection: the document's id, `#`, and the passage's number in it."""
    title: str = ""
    """From a collection: the document's title."""
    page: int = 0
    """From a collection: the page of its document, from 1; 0 where it has none."""
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """From a collection: `document` (the id), `number`, `passage` and `metadata` as ingested."""


UNGROUNDED = "ungrounded"
"""`finish_reason` of an answer that the server's policy has replaced by a refusal."""


@dataclass(frozen=True)
class Completion:
    """Generated text and its token counts."""

    text: str
    finish_reason: str
    """`stop` (the model or a stop word ended it), `length` (`max_tokens` did), or `ungrounded`
    (the sources don't support the model's answer; the text says so instead)."""
    num_input_tokens: int
    num_output_tokens: int
    request_id: str = field(default="", compare=False, kw_only=True)
    """The request's id in the server's logs and traces; comparisons of results ignore it."""
    trace_id: str = field(default="", compare=False, kw_only=True)
    """The trace that the request belongs to, 32 hexadecimal digits."""


@dataclass(frozen=True)
class Quote:
    """A sentence of an answer, and the sentence of a source that supports it."""

    statement: str
    quote: str
    source: int
    """Number of the source, from 1."""


@dataclass(frozen=True)
class Answer(Completion):
    """An answer to a question, with the sources that the model could use."""

    sources: tuple[Source, ...]
    """Best first, by similarity, words and relevance; the answer refers to the first as `[1]`."""
    citations: tuple[int, ...]
    """Numbers of the sources that the answer cites, from 1, each once."""
    quotes: tuple[Quote, ...] = ()
    grounded: float = 0.0
    """Share of the model's words that a source has, 0 to 1."""

    @property
    def cited(self) -> tuple[Source, ...]:
        """The sources that the answer cites, in the order of `citations`."""
        return tuple(self.sources[number - 1] for number in self.citations)
