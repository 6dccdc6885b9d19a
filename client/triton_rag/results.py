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
    """Position of its document in the list that was sent, from 0; from a collection: equal for
    passages of the same document."""
    similarity: float
    """Cosine of the question's and the passage's embeddings, -1 to 1."""
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
    """Its id in the server's logs and traces; equal texts are equal whoever asked for them."""
    trace_id: str = field(default="", compare=False, kw_only=True)
    """The trace that it belongs to, 32 hexadecimal digits."""


@dataclass(frozen=True)
class Quote:
    """A sentence of an answer, and the sentence of a source that it rests on."""

    statement: str
    quote: str
    source: int
    """Number of the source, from 1."""


@dataclass(frozen=True)
class Answer(Completion):
    """An answer to a question with the sources that it may rest on."""

    sources: tuple[Source, ...]
    """Best first, by similarity, words and relevance; the answer refers to the first as `[1]`."""
    citations: tuple[int, ...]
    """Numbers of the sources that the answer rests on, from 1, each once."""
    quotes: tuple[Quote, ...] = ()
    grounded: float = 0.0
    """Share of the model's words that a source has, 0 to 1."""

    @property
    def cited(self) -> tuple[Source, ...]:
        """The sources that the answer rests on, in the order of `citations`."""
        return tuple(self.sources[number - 1] for number in self.citations)


@dataclass(frozen=True)
class ModelStatistics:
    """What one served model has done since it was loaded; times are sums over requests.

    Subtract an earlier one from a later one to see what happened in between. Triton times a
    streaming model (`llm`, `rag_cancellable`) only until the model has accepted the request.
    """

    successes: int = 0
    failures: int = 0
    inferences: int = 0
    """Rows served, which may be more than requests."""
    executions: int = 0
    """Runs of the model; fewer than `inferences` where the server merged requests."""
    queue_ns: int = 0
    compute_ns: int = 0
    total_ns: int = 0
    """From arrival to answer, successful requests only."""

    def __sub__(self, earlier: "ModelStatistics") -> "ModelStatistics":
        then = vars(earlier)
        return ModelStatistics(**{name: now - then[name] for name, now in vars(self).items()})

    def __add__(self, other: "ModelStatistics") -> "ModelStatistics":
        more = vars(other)
        return ModelStatistics(**{name: value + more[name] for name, value in vars(self).items()})
