"""What a served Python model is, without Triton: tensors in, tensors or a `RequestError` out.

    RequestError          the request is at fault: told verbatim to that client alone
    ├── Overloaded        the request is fine, the server has no room for it now
    └── Cancelled         the client or its deadline ended the request

Anything else that a stage raises is our fault: the client reads one neutral sentence, the
traceback goes to the server's log.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from ensembles.contracts import ModelContract
from ensembles.manifest import Manifest, check_file, read_manifest
from ensembles.metrics import Metric

ERROR = "error"
"""`finish_reason` of a decoupled response that carries an error to a caller inside the server."""

Array = NDArray[Any]
Attribute = str | int | float | Sequence[str]
Outputs = Mapping[str, Array | Sequence[str]]
"""Output tensors by name; STRING tensors may be given as a sequence of str (one dimension)."""


class RequestError(Exception):
    """A fault of this one request: says what was asked, what was found and what is possible."""

    code = "INVALID_ARG"
    outcome = "invalid"
    """As metrics count it (`ensembles.metrics.OUTCOMES`)."""


class Overloaded(RequestError):
    """No room at present; the client may try again."""

    code = "UNAVAILABLE"
    outcome = "overloaded"


class Cancelled(RequestError):
    """The request ended before its answer did."""

    code = "CANCELLED"
    outcome = "cancelled"


class MachineError(Exception):
    """This machine can't run what the placement asks for; told to the operator when loading."""


def outcome_of(error: Exception) -> str:
    """One of `ensembles.metrics.OUTCOMES`."""
    return error.outcome if isinstance(error, RequestError) else "failed"


@dataclass(frozen=True)
class Tensors:
    """The inputs of one request by name: numeric arrays, and object arrays of bytes for STRING."""

    values: Mapping[str, Array]

    def __contains__(self, name: str) -> bool:
        return name in self.values

    def array(self, name: str) -> Array:
        """A required tensor as it came."""
        return self.values[name]

    def scalar(self, name: str) -> Any:
        """The only value of a tensor as a Python number or bool; None when it was left out."""
        if name not in self.values:
            return None
        array = self.values[name]
        if array.size != 1:
            raise RequestError(f"{name}: one value expected, {array.size} given")
        return array.reshape(-1)[0].item()

    def texts(self, name: str) -> list[str]:
        """A STRING tensor, decoded; raises `RequestError` where a value is not UTF-8."""
        return [_decode(name, i, value) for i, value in enumerate(self.values[name].reshape(-1))]

    def text(self, name: str) -> str:
        """The only value of a STRING tensor."""
        texts = self.texts(name)
        if len(texts) != 1:
            raise RequestError(f"{name}: one string expected, {len(texts)} given")
        return texts[0]


def _decode(name: str, index: int, value: bytes | str) -> str:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RequestError(
            f"{name}[{index}]: not valid UTF-8 at byte {error.start} of {len(value)}"
        ) from error


@dataclass(frozen=True)
class EngineFolder:
    """The folder that a build made for one model, with its manifest."""

    path: Path
    manifest: Manifest

    def file(self, name: str) -> Path:
        """A file of the folder whose hash the manifest pins; raises `ManifestError` otherwise."""
        return check_file(self.path, self.manifest, name)


class Caller(Protocol):
    """Calls other models of the same server; raises their `RequestError`.

    `traceparent` names the span that the call belongs to (W3C Trace Context), if there is one.
    """

    def call(
        self, model: ModelContract, inputs: Mapping[str, Array], traceparent: str | None = None
    ) -> dict[str, Array]:
        """A model that answers once."""

    def stream(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None = None,
    ) -> Iterator[dict[str, Array]]:
        """A decoupled model."""


class Counter(Protocol):
    """A number that only grows."""

    def increment(self, value: float = 1.0) -> None:
        """Add to it."""


class Gauge(Protocol):
    """A number that comes and goes."""

    def set(self, value: float) -> None:
        """Show this value from now on."""


class Histogram(Protocol):
    """How often values fell into which range."""

    def observe(self, value: float) -> None:
        """Count one value."""


class Meter(Protocol):
    """The metrics of one model on the server's metrics page.

    The same metric and labels give the same series again. Writing to one costs about a
    microsecond on any thread, never waits for the server and never fails.
    """

    def counter(self, metric: Metric, **labels: str) -> Counter:
        """A series of a counter."""

    def gauge(self, metric: Metric, **labels: str) -> Gauge:
        """A series of a gauge."""

    def histogram(self, metric: Metric, **labels: str) -> Histogram:
        """A series of a histogram."""


@dataclass(frozen=True)
class StageContext:
    """What a stage is loaded with.

    Its version folder, the parameters of its config.pbtxt, a way to call other models, its metrics,
    and the GPU of its instance (0 on a CPU).
    """

    version_folder: Path
    parameters: Mapping[str, str]
    caller: Caller
    meter: Meter
    device_id: int = 0

    def engine_folder(self) -> EngineFolder:
        """The engine that the parameter `engine_folder` names, relative to the version folder."""
        path = self.version_folder / self.parameters["engine_folder"]
        return EngineFolder(path, read_manifest(path))

    def integer(self, name: str) -> int:
        """A whole-number parameter; raises KeyError when the config lacks it."""
        return int(self.parameters[name])


class Stage(ABC):
    """A model that gives one response a request; made once per instance (its `load`)."""

    contract: ModelContract

    def run(self, batch: Sequence[Tensors]) -> Sequence[Outputs | Exception]:
        """Answer requests that arrived together; a faulty one doesn't harm its neighbours."""
        return [self._answer_or_error(request) for request in batch]

    def _answer_or_error(self, request: Tensors) -> Outputs | Exception:
        try:
            return self.answer(request)
        except Exception as error:
            return error

    def close(self) -> None:  # noqa: B027 - most stages hold nothing that must be ended
        """Called before the process ends."""

    @abstractmethod
    def answer(self, request: Tensors) -> Outputs:
        """Answer one request; raises `RequestError`."""


class Stream(Protocol):
    """One request to a decoupled model and the way back to its client."""

    id: str
    tensors: Tensors
    timeout_us: int
    arrival_s: float
    """When the request came (`time.perf_counter`)."""

    def send(self, outputs: Outputs, final: bool = False, outcome: str | None = "ok") -> None:
        """Send one response; nothing may follow a final one, which tells the metrics how it ended.

        None for an order that is no request of its own and is not counted.
        """

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""

    def is_cancelled(self) -> bool:
        """Whether the client has gone or cancelled."""

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """A part of the request's time, for metrics and traces (`time.perf_counter`)."""

    def calling(self, model: str) -> AbstractContextManager[str | None]:
        """Around a call to another model: such a part, and the traceparent to call with."""

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Attributes of the request's span; never text of the request."""


class StreamingStage(Protocol):
    """A model that answers a request with any number of responses, from threads of its own."""

    contract: ModelContract

    def start(self, stream: Stream) -> None:
        """Take a request and return at once; a `RequestError` raised here ends its stream."""

    def close(self) -> None:
        """Stop the threads; called before the process ends."""
