"""The protocol between the stage `llm` and the inference library that generates tokens."""

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ensembles.contracts import OVERLOADED
from ensembles.manifest import Sampling
from python_backends.context import EngineFolder, StageContext
from python_backends.errors import Overloaded


@dataclass(frozen=True)
class Guide:
    """What an answer must match; `type` is TensorRT-LLM's name for what `text` is.

    `json` (any JSON value; no text), `json_schema`, `regex` or `ebnf_grammar` (rule `root`).
    """

    type: str
    text: str = ""


@dataclass(frozen=True, kw_only=True)
class GenerationParams(Sampling):
    """How one request is generated: checked values, the same for every engine."""

    seed: int
    stop_words: tuple[str, ...]
    guide: Guide | None = None

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0 or self.top_k == 1


@dataclass(frozen=True)
class Delta:
    """New token ids of one request.

    The last delta of a request has a `finish_reason`: stop, length, cancelled or error. With
    "error", a `RequestError` in `error` goes to the client and any other exception to the log. The
    end token may be among the ids. `cached_tokens` counts the prompt tokens that were taken from
    the KV cache; it stays 0 where the engine doesn't say.
    """

    token_ids: tuple[int, ...]
    finish_reason: str | None = None
    error: Exception | None = None
    cached_tokens: int = 0


SCHEDULED = Delta(())
"""First delta of a request: it moved from the engine's waiting queue to the batch. TensorRT-LLM has
a queue of its own after that; the time in it counts as prefill."""

CANCELLED = Delta((), "cancelled")
"""Last delta of a request that `cancel` ended."""

Sink = Callable[[Delta], None]
"""Takes the deltas of one request, in order, on the engine's thread."""


@dataclass(frozen=True)
class EngineStats:
    """State of an engine now, and its work since it was loaded.

    `iterations` are the steps of the in-flight batch, `iteration_requests` the requests in it
    summed over the steps. An engine that doesn't report the use of its KV cache gives NaN for
    `kv_cache_used` (0 to 1) and leaves the counts at 0.
    """

    running: int
    waiting: int
    kv_cache_used: float
    iterations: int = 0
    iteration_requests: int = 0


class LlmEngine(Protocol):
    """Generates token ids for many requests at a time (in-flight batching)."""

    max_request_tokens: int
    """Most tokens of one request, prompt and answer together."""

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        """Queue a request and return its number.

        Raises `Overloaded` when the queue is full, `RequestError` for an unsupported parameter.
        Only an engine whose manifest leaves `unguided` empty gets a guide.
        """

    def cancel(self, number: int) -> None:
        """End a request soon; its last delta is `CANCELLED`. Unknown numbers are ignored."""

    def stats(self) -> EngineStats:
        """Cheap enough to call at any time."""

    def close(self) -> None:
        """End all requests and the engine's threads."""


@dataclass(eq=False)
class EngineRequest:
    """A request between `submit` and its last delta."""

    number: int
    prompt_ids: Sequence[int]
    params: GenerationParams
    sink: Sink


R = TypeVar("R", bound=EngineRequest)


class LimitedEngine(Generic[R]):
    """Base of the engines: their requests by number, up to the placement's two limits.

    No more requests run than the engine plan's `max_batch_size`, where it has one.
    """

    def __init__(self, request_type: type[R], context: StageContext, folder: EngineFolder) -> None:
        limit = context.integer("max_running_requests")
        self._max_running = min(limit, int(folder.manifest.plan.get("max_batch_size", limit)))
        self._max_requests = self._max_running + context.integer("max_waiting_requests")
        self._request_type = request_type
        self._numbers = itertools.count()
        self._requests: dict[int, R] = {}
        self._lock = threading.Condition()

    def _accept(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> R:
        """Needs the lock; raises `Overloaded`."""
        if len(self._requests) >= self._max_requests:
            raise Overloaded(
                f"{len(self._requests)} requests are running or waiting, which is this server's "
                f"limit; {OVERLOADED}"
            )
        request = self._request_type(next(self._numbers), prompt_ids, params, sink)
        self._requests[request.number] = request
        return request
