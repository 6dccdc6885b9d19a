"""Stages in, `TritonPythonModel` out: where Triton's Python stub meets our code.

Contracts decide everything: which inputs are read, which must be there (Triton does not check
that), which outputs may leave (Triton does not check that either).
"""

import json
import logging
import threading
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ensembles.contracts import ModelContract
from ensembles.graph import fits, full_dims
from ensembles.manifest import ManifestError
from ensembles.tensors import DType, TensorSpec
from python_backends.bls import IN_BAND_ERRORS, ServerCaller, stub
from python_backends.stage import (
    ERROR,
    Array,
    Gauge,
    MachineError,
    Outputs,
    RequestError,
    Stage,
    StageContext,
    StreamingStage,
    Tensors,
)

NUMPY_TYPES: dict[DType, type] = {
    DType.BOOL: np.bool_,
    DType.INT32: np.int32,
    DType.INT64: np.int64,
    DType.UINT64: np.uint64,
    DType.FP16: np.float16,
    DType.FP32: np.float32,
    DType.STRING: np.object_,
}

logger = logging.getLogger("python_backends")


def read_inputs(pb: Any, contract: ModelContract, request: Any) -> Tensors:
    """The request's tensors; raises `RequestError` for a required one that is missing."""
    values: dict[str, Array] = {}
    for spec in contract.inputs:
        found = pb.get_input_tensor_by_name(request, spec.name)
        if found is not None:
            values[spec.name] = found.as_numpy()
        elif not spec.optional:
            raise RequestError(f"input '{spec.name}' is missing ({spec})")
    return Tensors(values)


def _as_array(value: Array | Sequence[str]) -> Array:
    if isinstance(value, np.ndarray):
        return value
    return np.array([text.encode() for text in value], dtype=np.object_)


def to_array(spec: TensorSpec, value: Array | Sequence[str], batched: bool) -> Array:
    """The value as Triton wants it: the contract's dtype and rank, UTF-8 bytes for STRING."""
    array = np.ascontiguousarray(_as_array(value))
    if array.dtype != NUMPY_TYPES[spec.dtype] or not fits(array.shape, full_dims(spec, batched)):
        raise TypeError(f"output '{spec.name}' is {array.dtype}{list(array.shape)}, not {spec}")
    return array


def make_response(pb: Any, contract: ModelContract, outputs: Outputs) -> Any:
    """A response whose tensors are checked against the contract; decoupled ones may be partial.

    A batched, decoupled contract is served a row at a time: its batch dimension is put on here,
    except on `text_output`, which the clients of NVIDIA's contract (facts: langchain-nvidia-trt)
    read as one-dimensional.
    """
    specs = {spec.name: spec for spec in contract.outputs}
    wrong = outputs.keys() - specs.keys() or (
        not contract.decoupled and specs.keys() - outputs.keys()
    )
    if wrong:
        raise TypeError(f"outputs of '{contract.name}' differ from its contract: {sorted(wrong)}")
    splits_rows = contract.batched and contract.decoupled
    tensors = []
    for name, value in outputs.items():
        array = to_array(specs[name], value, contract.batched and not splits_rows)
        is_row = splits_rows and name != "text_output"
        tensors.append(pb.Tensor(name, array[None] if is_row else array))
    return pb.InferenceResponse(tensors)


def make_error(pb: Any, error: Exception, in_band: bool = False) -> Any:
    """The error as its audience may read it: client faults verbatim, ours as one sentence."""
    if isinstance(error, RequestError):
        code, message = error.code, str(error)
    else:
        logger.error("%s", "".join(traceback.format_exception(error)))
        code, message = "INTERNAL", "the model failed on this request; see the server's log"
    if in_band:
        message = f"{code}: {message}"
    return pb.TritonError(message, getattr(pb.TritonError, code))


def _is_in_band(request: Any) -> bool:
    return IN_BAND_ERRORS in (request.parameters() or "")


class PlainModel:
    """Serves a `Stage`: one response a request, requests of one call answered together."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Called by Triton with the requests that its scheduler merged."""
        pb = stub()
        answers = dict(enumerate(self._read(pb, request) for request in requests))
        good = {i: read for i, read in answers.items() if isinstance(read, Tensors)}
        answers.update(zip(good, self._run(list(good.values())), strict=True))
        return [self._respond(pb, request, answers[i]) for i, request in enumerate(requests)]

    def _read(self, pb: Any, request: Any) -> Any:
        try:
            return read_inputs(pb, self.stage.contract, request)
        except RequestError as error:
            return error

    def _run(self, batch: list[Tensors]) -> Sequence[Outputs | Exception]:
        """A fault of ours is answered like any other: raised, it would leak its traceback."""
        try:
            answers = self.stage.run(batch) if batch else []
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers to {len(batch)} requests")
            return answers
        except Exception as error:
            return [error] * len(batch)

    def _respond(self, pb: Any, request: Any, answer: Outputs | Exception) -> Any:
        try:
            if isinstance(answer, Exception):
                raise answer
            return make_response(pb, self.stage.contract, answer)
        except Exception as error:
            return pb.InferenceResponse(error=make_error(pb, error, _is_in_band(request)))

    def close(self) -> None:
        """End the stage."""
        self.stage.close()


class TritonStream:
    """A `Stream` over Triton's response sender.

    A batched contract is served one row at a time: the leading dimension of one is taken off the
    inputs here, and put back on the outputs by `make_response`.
    """

    def __init__(self, pb: Any, contract: ModelContract, request: Any) -> None:
        self._pb, self._contract = pb, contract
        self._sender = request.get_response_sender()
        self._in_band = _is_in_band(request)
        self._final = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        # The server frees its side with the final response: asking about it later would crash it.
        self._lock = threading.Lock()
        self._is_open = True
        self.id: str = request.request_id()
        self.timeout_us: int = request.timeout()
        self.tensors = Tensors({})

    def read(self, request: Any) -> None:
        """Fill `tensors`; raises `RequestError`."""
        tensors = read_inputs(self._pb, self._contract, request)
        if self._contract.batched:
            tensors = Tensors({name: array[0] for name, array in tensors.values.items()})
        self.tensors = tensors

    def send(self, outputs: Outputs, final: bool = False) -> None:
        """Send one response."""
        self._send(make_response(self._pb, self._contract, outputs), final)

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""
        found = make_error(self._pb, error, self._in_band)
        if self._in_band:
            self.send({"text_output": [found.message()], "finish_reason": [ERROR]}, final=True)
        else:
            self._send(self._pb.InferenceResponse(error=found), final=True)

    def is_cancelled(self) -> bool:
        """Whether the client has gone or cancelled (asks the server: about 40 us)."""
        with self._lock:
            return self._is_open and bool(self._sender.is_cancelled())

    def _send(self, response: Any, final: bool) -> None:
        with self._lock:
            if self._is_open:
                self._is_open = not final
                self._sender.send(response, flags=self._final if final else 0)


class DecoupledModel:
    """Serves a `StreamingStage`: takes requests at once, answers come from the stage's threads."""

    def __init__(self, stage: StreamingStage) -> None:
        self.stage = stage

    def execute(self, requests: Sequence[Any]) -> None:
        """Called by Triton with new requests."""
        pb = stub()
        for request in requests:
            stream = TritonStream(pb, self.stage.contract, request)
            try:
                stream.read(request)
                self.stage.start(stream)
            except Exception as error:
                stream.fail(error)

    def close(self) -> None:
        """End the stage's threads."""
        self.stage.close()


def make_gauge(name: str, description: str) -> Gauge:
    """A gauge on the server's /metrics page, kept while the process lives."""
    pb = stub()
    family = pb.MetricFamily(name=name, description=description, kind=pb.MetricFamily.GAUGE)
    _metric_families.append(family)
    gauge: Gauge = family.Metric(labels={})
    return gauge


_metric_families: list[Any] = []
"""Triton drops a metric with the last reference to its family."""


def python_model(load: Callable[[StageContext], Stage | StreamingStage]) -> type:
    """The class that Triton's stub looks for, serving what `load` makes."""

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            config = json.loads(args["model_config"])
            folder = Path(args["model_repository"]) / args["model_version"]
            values = {k: v["string_value"] for k, v in config.get("parameters", {}).items()}
            gpu = int(args["model_instance_device_id"])
            try:
                stage = load(StageContext(folder, values, ServerCaller(), make_gauge, gpu))
            except (ManifestError, MachineError) as error:
                raise stub().TritonModelException(str(error)) from error
            self.model = PlainModel(stage) if isinstance(stage, Stage) else DecoupledModel(stage)

        def execute(self, requests: Sequence[Any]) -> list[Any] | None:
            return self.model.execute(requests)

        def finalize(self) -> None:
            self.model.close()

    return TritonPythonModel
