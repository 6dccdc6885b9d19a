"""A stage is the code of one served model: tensors in, tensors or a `RequestError` out."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Protocol

from ensembles.contracts import ModelContract
from python_backends.tensors import Outputs, Tensors

Attribute = str | int | float | Sequence[str]
"""Value of an attribute of a span."""

Answer = Outputs | Exception | Future[Outputs | Exception]
"""What a stage gives for a request: a future if a thread will answer it later."""


class Stage(ABC):
    """A model that sends one response per request; one object per model instance."""

    contract: ModelContract

    def run(self, batch: Sequence[Tensors]) -> Sequence[Answer]:
        """Answer requests that Triton hands over together."""
        return [self._answer_or_error(request) for request in batch]

    def _answer_or_error(self, request: Tensors) -> Outputs | Exception:
        try:
            return self.answer(request)
        except Exception as error:
            return error

    def close(self) -> None:  # noqa: B027 - most stages hold nothing to close
        """Called before the process ends."""

    @abstractmethod
    def answer(self, request: Tensors) -> Outputs:
        """Answer one request; raises `RequestError`."""


class Stream(Protocol):
    """One request to a decoupled model, and the channel for its responses.

    Times are those of `time.perf_counter`.
    """

    id: str
    tensors: Tensors
    timeout_us: int
    arrival_s: float

    def send(self, outputs: Outputs, final: bool = False, outcome: str | None = "ok") -> None:
        """Send one response; after the final one nothing is sent.

        `outcome` of the final response goes to the metrics (`ensembles.metrics.OUTCOMES`). None
        leaves the request uncounted and untraced: a stop request is not work of its own.
        """

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""

    def is_cancelled(self) -> bool:
        """Whether the client has disconnected or cancelled."""

    def record_phase(self, name: str, start_s: float, end_s: float) -> None:
        """Report a phase of the request, such as its time in a queue, to metrics and traces."""

    def model_call(self, model: str) -> AbstractContextManager[str | None]:
        """Wrap a call to another model as a phase; yields the traceparent to call with."""

    def set_attributes(self, attributes: Mapping[str, Attribute]) -> None:
        """Add attributes to the request's span; they must not contain text of the request."""


class StreamingStage(Protocol):
    """A decoupled model: sends any number of responses per request, from threads of its own."""

    contract: ModelContract

    def start(self, stream: Stream) -> None:
        """Accept a request and return at once; an error raised here ends its stream."""

    def close(self) -> None:
        """Stop the threads; called before the process ends."""
