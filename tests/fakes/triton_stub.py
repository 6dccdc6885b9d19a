"""A fake of `triton_python_backend_utils`: the parts that python_backends uses.

Names, signatures and errors are those of Triton 2.51's Python backend. Calls to other models (BLS)
go to the functions in `models`.
"""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

TRITONSERVER_RESPONSE_COMPLETE_FINAL = 1

_TYPES = (
    np.bool_,
    np.int32,
    np.int64,
    np.uint32,
    np.uint64,
    np.float16,
    np.float32,
    np.object_,
)


class TritonModelException(Exception):
    """Raised by the stub, and by models from `initialize`."""


class TritonError:
    (
        UNKNOWN,
        INTERNAL,
        NOT_FOUND,
        INVALID_ARG,
        UNAVAILABLE,
        UNSUPPORTED,
        ALREADY_EXISTS,
        CANCELLED,
    ) = range(8)

    def __init__(self, message: str, code: int = INTERNAL) -> None:
        self._message, self._code = message, code

    def message(self) -> str:
        return self._message

    def code(self) -> int:
        return self._code


class Tensor:
    def __init__(self, name: str, array: Any) -> None:
        if not isinstance(array, np.ndarray) or array.dtype not in _TYPES:
            raise TritonModelException(f"tensor '{name}': unsupported {type(array)}")
        if array.dtype == np.object_ and not all(isinstance(v, bytes) for v in array.reshape(-1)):
            raise TritonModelException(f"tensor '{name}': only bytes can be serialized")
        self._name, self._array = name, array

    def name(self) -> str:
        return self._name

    def as_numpy(self) -> Any:
        return self._array


class InferenceResponse:
    def __init__(
        self, output_tensors: Sequence[Tensor] = (), error: TritonError | None = None
    ) -> None:
        self._tensors, self._error = list(output_tensors), error

    def output_tensors(self) -> list[Tensor]:
        return self._tensors

    def has_error(self) -> bool:
        return self._error is not None

    def error(self) -> TritonError | None:
        return self._error

    def outputs(self) -> dict[str, Any]:
        """For tests: arrays by name."""
        return {tensor.name(): tensor.as_numpy() for tensor in self._tensors}


class ResponseSender:
    """Records responses; like the real one, it refuses any after the final flag."""

    def __init__(self) -> None:
        self.sent: list[tuple[InferenceResponse, int]] = []
        self.cancelled = False
        self.closed = threading.Event()

    @property
    def is_closed(self) -> bool:
        return any(flags & TRITONSERVER_RESPONSE_COMPLETE_FINAL for _, flags in self.sent)

    def send(self, response: InferenceResponse, flags: int = 0) -> None:
        if self.is_closed:
            raise TritonModelException("Unable to send response. Response sender has been closed.")
        self.sent.append((response, flags))
        if self.is_closed:
            self.closed.set()

    def is_cancelled(self) -> bool:
        if self.is_closed:
            raise AssertionError("the server crashes when asked about a request that has ended")
        return self.cancelled


class InferenceTrace:
    """Triton's own span; None without its OpenTelemetry mode."""

    def __init__(self, context: str | None) -> None:
        self._context = context

    def get_context(self) -> str | None:
        return self._context


class AllNames(list[str]):
    """The outputs of a model that this fake does not know."""

    def __contains__(self, name: object) -> bool:
        return True


class InferenceRequest:
    """A request that a model gets, or one that it sends to another model (`exec`)."""

    def __init__(
        self,
        inputs: Sequence[Tensor] = (),
        model_name: str = "",
        requested_output_names: Sequence[str] | None = None,
        request_id: str = "",
        timeout: int = 0,
        parameters: dict[str, Any] | None = None,
        trace_context: str | None = None,
    ) -> None:
        self.model_name, self._wanted = model_name, requested_output_names
        self._inputs, self._id, self._timeout = list(inputs), request_id, timeout
        self._parameters = parameters or {}
        self.sender = ResponseSender()
        self._trace = InferenceTrace(trace_context)

    def inputs(self) -> list[Tensor]:
        return self._inputs

    def requested_output_names(self) -> list[str]:
        """The server fills in all outputs where the client named none."""
        return AllNames() if self._wanted is None else list(self._wanted)

    def request_id(self) -> str:
        return self._id

    def timeout(self) -> int:
        return self._timeout

    def parameters(self) -> str:
        """As in the stub: JSON text, empty when there are none."""
        return json.dumps(self._parameters) if self._parameters else ""

    def trace(self) -> InferenceTrace:
        return self._trace

    def get_response_sender(self) -> ResponseSender:
        return self.sender

    def exec(self, decoupled: bool = False) -> InferenceResponse | Iterator[InferenceResponse]:
        answers = models[self.model_name](self)
        return iter(answers) if decoupled else answers[0]


def get_input_tensor_by_name(request: InferenceRequest, name: str) -> Tensor | None:
    return next((tensor for tensor in request.inputs() if tensor.name() == name), None)


class Metric:
    """Refuses other kinds' operations like the real one; fails with `fails` if that is set."""

    fails: Exception | None = None

    def __init__(self, family: "MetricFamily", labels: dict[str, str]) -> None:
        self.family, self.labels, self.number = family, labels, 0.0
        self.observed: list[float] = []

    def _check(self, *kinds: int) -> None:
        if Metric.fails:
            raise Metric.fails
        if self.family.kind not in kinds:
            raise TritonModelException("TRITONSERVER_METRIC_KIND does not support this operation")

    def set(self, value: float) -> None:
        self._check(MetricFamily.GAUGE)
        self.number = value

    def increment(self, value: float) -> None:
        self._check(MetricFamily.COUNTER, MetricFamily.GAUGE)
        if self.family.kind == MetricFamily.COUNTER and value < 0:
            raise TritonModelException("counters can only be incremented")
        self.number += value

    def observe(self, value: float) -> None:
        self._check(MetricFamily.HISTOGRAM)
        self.observed.append(value)

    def value(self) -> float:
        return self.number


class MetricFamily:
    COUNTER, GAUGE, HISTOGRAM = 0, 1, 2
    metrics: list[Metric] = []  # noqa: RUF012 - all metrics, for tests to read

    def __init__(self, name: str, description: str, kind: int) -> None:
        self.name, self.description, self.kind = name, description, kind

    def Metric(  # noqa: N802 - the stub's name
        self, labels: dict[str, str], buckets: list[float] | None = None
    ) -> Metric:
        if (self.kind == MetricFamily.HISTOGRAM) != (buckets is not None):
            raise TritonModelException("buckets are for histograms, which need them")
        metric = Metric(self, labels)
        MetricFamily.metrics.append(metric)
        return metric


models: dict[str, Callable[[InferenceRequest], list[InferenceResponse]]] = {}
"""The other models of the server: request in, responses out."""


def as_module() -> ModuleType:
    """The module for `import triton_python_backend_utils`."""
    module = ModuleType("triton_python_backend_utils")
    for name, value in globals().items():
        if not name.startswith("_"):
            setattr(module, name, value)
    return module
