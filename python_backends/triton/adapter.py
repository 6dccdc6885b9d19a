"""Stages in, `TritonPythonModel` out: where Triton's Python stub meets our code."""

import json
import os
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ensembles.contracts import ModelContract
from ensembles.manifest import ManifestError
from python_backends.stage import (
    ERROR,
    Attribute,
    MachineError,
    Outputs,
    RequestError,
    Stage,
    StageContext,
    StreamingStage,
    Tensors,
    outcome_of,
)
from python_backends.triton.bls import IN_BAND_ERRORS, ServerCaller, stub
from python_backends.triton.metering import TritonMeter
from python_backends.triton.responses import make_error, make_response, read_inputs
from python_backends.triton.telemetry import Record, Telemetry
from python_backends.triton.tracing import make_tracer


def _is_in_band(request: Any) -> bool:
    return IN_BAND_ERRORS in (request.parameters() or "")


class PlainModel:
    """Serves a `Stage`: one response a request, requests of one call answered together."""

    def __init__(self, stage: Stage, telemetry: Telemetry) -> None:
        self.stage, self._telemetry = stage, telemetry
        self._batches = telemetry.batch()

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Called by Triton with the requests that its scheduler merged."""
        pb = stub()
        self._batches.came(len(requests))
        records = [self._telemetry.record(request) for request in requests]
        answers = dict(enumerate(self._read(pb, request) for request in requests))
        good = {i: read for i, read in answers.items() if isinstance(read, Tensors)}
        answers.update(zip(good, self._run(list(good.values())), strict=True))
        found = [self._respond(pb, request, answers[i]) for i, request in enumerate(requests)]
        end_s = time.perf_counter()
        for record, (_, outcome) in zip(records, found, strict=True):
            record.end(outcome, end_s)
        return [response for response, _ in found]

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

    def _respond(self, pb: Any, request: Any, answer: Outputs | Exception) -> tuple[Any, str]:
        """The response, and how the request ended."""
        try:
            if isinstance(answer, Exception):
                raise answer
            wanted = request.requested_output_names()
            return make_response(pb, self.stage.contract, answer, wanted), "ok"
        except Exception as error:
            found = make_error(pb, error, _is_in_band(request))
            return pb.InferenceResponse(error=found), outcome_of(error)

    def close(self) -> None:
        """End the stage."""
        self.stage.close()


class TritonStream:
    """A `Stream` over Triton's response sender.

    A batched contract is served one row at a time: the leading dimension of one is taken off the
    inputs here, and put back on the outputs by `make_response`.
    """

    def __init__(self, pb: Any, contract: ModelContract, request: Any, record: Record) -> None:
        self._pb, self._contract, self._record = pb, contract, record
        self._sender = request.get_response_sender()
        self._wanted: Collection[str] = request.requested_output_names()
        self._in_band = _is_in_band(request)
        self._final = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        # The server frees its side with the final response: asking about it later would crash it.
        self._lock = threading.Lock()
        self._is_open = True
        self.id: str = request.request_id()
        self.timeout_us: int = request.timeout()
        self.arrival_s = record.arrival_s
        self.tensors = Tensors({})

    def read(self, request: Any) -> None:
        """Fill `tensors`; raises `RequestError`."""
        tensors = read_inputs(self._pb, self._contract, request)
        if self._contract.batched:
            tensors = Tensors({name: array[0] for name, array in tensors.values.items()})
        self.tensors = tensors

    def send(self, outputs: Outputs, final: bool = False, outcome: str | None = "ok") -> None:
        """Send one response."""
        response = make_response(self._pb, self._contract, outputs, self._wanted)
        if final:
            self._end(response, outcome)
        else:
            self._send(response)

    def fail(self, error: Exception) -> None:
        """End the stream with an error."""
        found = make_error(self._pb, error, self._in_band)
        if self._in_band:
            last = {"text_output": [found.message()], "finish_reason": [ERROR]}
            self.send(last, final=True, outcome=outcome_of(error))
        else:
            self._end(self._pb.InferenceResponse(error=found), outcome_of(error))

    def is_cancelled(self) -> bool:
        """Whether the client has gone or cancelled (asks the server: about 40 us)."""
        with self._lock:
            return self._is_open and bool(self._sender.is_cancelled())

    def part(self, name: str, start_s: float, end_s: float) -> None:
        """A part of the request's time."""
        self._record.part(name, start_s, end_s)

    def calling(self, model: str) -> AbstractContextManager[str | None]:
        """Around a call to another model."""
        return self._record.calling(model)

    def describe(self, attributes: Mapping[str, Attribute]) -> None:
        """Attributes of the request's span."""
        self._record.describe(attributes)

    def _send(self, response: Any) -> None:
        with self._lock:
            if self._is_open:
                self._sender.send(response, flags=0)

    def _end(self, response: Any, outcome: str | None) -> None:
        """The last response; what comes later is dropped. One that can't be sent is our fault."""
        end_s = time.perf_counter()  # before a caller can have it, so that spans nest
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            try:
                self._sender.send(response, flags=self._final)
            except Exception:
                outcome = outcome and "failed"
                raise
            finally:
                self._record.end(outcome, end_s)


class DecoupledModel:
    """Serves a `StreamingStage`: takes requests at once, answers come from the stage's threads."""

    def __init__(self, stage: StreamingStage, telemetry: Telemetry) -> None:
        self.stage, self._telemetry = stage, telemetry

    def execute(self, requests: Sequence[Any]) -> None:
        """Called by Triton with new requests."""
        pb = stub()
        for request in requests:
            record = self._telemetry.record(request)
            stream = TritonStream(pb, self.stage.contract, request, record)
            try:
                stream.read(request)
                self.stage.start(stream)
            except Exception as error:
                stream.fail(error)

    def close(self) -> None:
        """End the stage's threads."""
        self.stage.close()


def python_model(load: Callable[[StageContext], Stage | StreamingStage]) -> type:
    """The class that Triton's stub looks for, serving what `load` makes."""

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            model, version = args["model_name"], args["model_version"]
            os.nice(_niceness(args))  # before threads are made: they inherit it
            self.meter = TritonMeter({"model": model, "version": version})
            try:
                stage = load(_context(args, self.meter))
            except (ManifestError, MachineError) as error:
                self.meter.close()
                raise stub().TritonModelException(str(error)) from error
            self.tracer = make_tracer(model, version, is_leaf=isinstance(stage, Stage))
            telemetry = Telemetry(self.meter, self.tracer)
            self.model = (
                PlainModel(stage, telemetry)
                if isinstance(stage, Stage)
                else DecoupledModel(stage, telemetry)
            )

        def execute(self, requests: Sequence[Any]) -> list[Any] | None:
            return self.model.execute(requests)

        def finalize(self) -> None:
            self.model.close()
            self.tracer.close()
            self.meter.close()

    return TritonPythonModel


def _parameters(args: Mapping[str, str]) -> dict[str, str]:
    found = json.loads(args["model_config"]).get("parameters", {})
    return {key: value["string_value"] for key, value in found.items()}


def _niceness(args: Mapping[str, str]) -> int:
    """A placement's `niceness`, 0 to 19: what this model's process leaves to others."""
    return max(0, int(_parameters(args).get("niceness", "0")))


def _context(args: Mapping[str, str], meter: TritonMeter) -> StageContext:
    """From what Triton gives a model to start with."""
    folder = Path(args["model_repository"]) / args["model_version"]
    device = int(args["model_instance_device_id"])
    return StageContext(folder, _parameters(args), ServerCaller(), meter, device)
