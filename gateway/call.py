"""Requests to the gateway and its answers, in a form that is the same for all APIs.

All protocols share a few kinds of requests: generate, embed, rank, search. Limits, caches, guards
and the upstream are handlers of them: each takes a `Call` and yields `Event`s.
"""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field

from gateway.guide import Guide
from gateway.tool_use import NO_TOOLS, ToolCall, ToolUse


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller: a key and the tenant that it belongs to."""

    key_id: str
    tenant: str


MODEL_VERSION = "x-model-version"
"""Header of an answer: the version of the model that made it."""
TRACEPARENT = "traceparent"
"""Header and parameter of a request: the span that is the parent of the models' spans."""
ANYBODY = Caller(key_id="", tenant="")
"""The caller where no keys are configured."""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is system, user, assistant or tool. An assistant's may have calls;
    a tool's is the result of the call `tool_call_id`."""

    role: str
    content: str
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """A text to answer from, as the request has it."""

    text: str
    title: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class SearchedCollection:
    """Where to look for sources: a collection of the models' server, and a filter.

    `filter` is JSON in the form of python_backends/stores/filters.py, or empty.
    """

    name: str
    filter: str = ""
    num_sources: int | None = None


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to generate; None is the model's own default. Names are those of `SAMPLING`."""

    max_tokens: int | None = None
    min_tokens: int | None = None
    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    seed: int | None = None
    stop_words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generate:
    """Generate one answer.

    Exactly one of `messages` and `prompt` is given. With `documents`, or a `collection`, the
    last message is a question, and the answer must be supported by what is found there."""

    model: str
    messages: tuple[Message, ...] = ()
    prompt: str = ""
    sampling: Sampling = Sampling()
    documents: tuple[Document, ...] = ()
    collection: SearchedCollection | None = None
    tool_use: ToolUse = NO_TOOLS
    guide: Guide | None = None
    stream: bool = False
    may_fill_context: bool = False
    """Whether a `max_tokens` that does not fit is reduced; such an answer ends with `context`."""


@dataclass(frozen=True, slots=True)
class Embed:
    """Embed texts, or rows of token ids of the embedder."""

    model: str
    texts: tuple[str, ...] = ()
    token_ids: tuple[tuple[int, ...], ...] = ()
    input_type: str = "text"
    """query, passage or text."""
    truncate: str = "end"
    """end cuts a long text, none refuses it."""
    dimensions: int | None = None


@dataclass(frozen=True, slots=True)
class Rank:
    """Score passages by relevance to a query."""

    model: str
    query: str
    passages: tuple[str, ...]
    truncate: str = "end"


@dataclass(frozen=True, slots=True)
class Search:
    """Find passages of a collection. Keys allow it by its route, as it names no model."""

    query: str
    collection: SearchedCollection
    model: str = ""


@dataclass(frozen=True, slots=True)
class Other:
    """A request whose tokens are not counted; `model` is empty where the caller names none."""

    model: str = ""


Request = Generate | Embed | Rank | Search | Other


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one call; `cached_tokens` are those of the input that were not computed again."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(slots=True)
class Moments:
    """When a call arrived, was queued and was admitted, in seconds of `time.perf_counter`."""

    arrived_s: float = 0.0
    queued_s: float = 0.0
    admitted_s: float = 0.0


@dataclass(slots=True)
class Call:
    """One request on its way to the models.

    `deadline` is in seconds of the running loop's clock. What a handler writes into `headers` is
    sent to the client, if it does so before it yields its first event.
    """

    request: Request
    caller: Caller
    request_id: str
    deadline: float | None = None
    traceparent: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    moments: Moments = field(default_factory=Moments)
    usage: Usage | None = None
    """What the models have used so far, also when the call fails; None before one is asked, and
    no input tokens before its first response."""
    weight: float = 1.0
    """The weight of its tenant, for its share of the models while others wait too."""

    @property
    def trace_headers(self) -> dict[str, str]:
        """`traceparent`, where the call has one."""
        return {TRACEPARENT: self.traceparent} if self.traceparent else {}


@dataclass(frozen=True, slots=True)
class Source:
    """A passage that the answer could use; `document` is its index in the request.

    From a collection it has the id and title of its document, a page (from 1; 0: there are none)
    and the document's metadata.
    """

    text: str
    document: int
    similarity: float
    relevance: float
    document_id: str = ""
    title: str = ""
    page: int = 0
    metadata: Mapping[str, str | bool | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Quote:
    """A sentence of the answer, and the sentence of a source (from 1) that supports it."""

    statement: str
    text: str
    source: int


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources of an answer, before its first text; the whole answer to `Search`."""

    sources: tuple[Source, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """New text of an answer, and the number of its tokens."""

    text: str
    tokens: int


@dataclass(frozen=True, slots=True)
class CallPiece:
    """New text of the `arguments` of a call, whose number is from 0, and the number of its tokens.

    The first piece of a call has its name. Joined, the pieces are JSON if the model wrote JSON.
    """

    call: int
    name: str
    arguments: str
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Finished:
    """The end of an answer; `reason` is stop, length, context, tool_calls, cancelled, ungrounded,
    or empty where the answer is relayed unread."""

    reason: str
    usage: Usage
    citations: tuple[int, ...] = ()
    quotes: tuple[Quote, ...] = ()
    grounded: float | None = None


@dataclass(frozen=True, slots=True)
class Embedded:
    """The answer to `Embed`: one row of little-endian FP32 values for each text."""

    rows: tuple[bytes, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Ranked:
    """The answer to `Rank`: one logit for each passage, in the request's order."""

    logits: tuple[float, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Relayed:
    """A piece of Triton's own response, as it came."""

    data: bytes


Event = Sources | Text | CallPiece | Finished | Embedded | Ranked | Relayed

LAST = (Finished, Embedded, Ranked)
"""The kinds of events that end an answer, except of a search."""

Handler = Callable[[Call], AsyncGenerator[Event, None]]
"""Answers one call.

Generate yields `Sources` (only with documents or a collection), any number of `Text` and (only with
tools) of `CallPiece`, then `Finished`; Embed yields one `Embedded`, Rank one `Ranked`, Search one
`Sources`. A relayed request yields `Relayed`, then `Finished`. It raises `GatewayError`, also in
the middle. When the caller leaves, the generator is closed, which ends the work at once. A handler
around another one takes it as an argument, closes it in `finally` (contextlib.aclosing) and passes
on what it does not change.
"""

Label = Callable[[str], str]
"""Gives the name of a known model, and one name for all others, so that names which clients make up
get into no metric, log or ledger."""


def is_whole(event: Event, request: Request) -> bool:
    """Whether the answer is complete with this event."""
    return isinstance(event, LAST) or (isinstance(request, Search) and isinstance(event, Sources))
