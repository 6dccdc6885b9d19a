"""The class that Triton's Python backend loads, made from a stage."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from ensembles.manifest import ManifestError
from ensembles.metrics import BATCH_REQUESTS
from python_backends.context import StageContext
from python_backends.errors import MachineError, RequestError, outcome_of
from python_backends.stage import Answer, Stage, StreamingStage
from python_backends.tensors import Outputs, Tensors
from python_backends.triton.bls import ServerCaller, stub
from python_backends.triton.metering import TritonMeter
from python_backends.triton.neighbours import watch_neighbours
from python_backends.triton.responses import (
    make_error,
    make_response,
    read_inputs,
    refuse_timeout,
    wants_in_band_errors,
)
from python_backends.triton.stream import TritonStream
from python_backends.triton.telemetry import RequestRecord, Telemetry
from python_backends.triton.tracing import make_tracer


class PlainModel:
    def __init__(self, stage: Stage, telemetry: Telemetry) -> None:
        self.stage, self._telemetry = stage, telemetry
        self._batch_requests = telemetry.meter.histogram(BATCH_REQUESTS)

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        pb = stub()
        self._batch_requests.observe(len(requests))
        records = [RequestRecord(self._telemetry, request) for request in requests]
        answers = dict(enumerate(self._read(pb, request) for request in requests))
        readable = {i: read for i, read in answers.items() if isinstance(read, Tensors)}
        answers.update(zip(readable, self._run(list(readable.values())), strict=True))
        later = {i: answer for i, answer in answers.items() if isinstance(answer, Future)}
        for i, answer in later.items():
            self._send_later(pb, requests[i], records[i], answer)
        responses = {
            i: self._respond(pb, requests[i], answer)
            for i, answer in answers.items()
            if i not in later
        }
        end_s = time.perf_counter()
        for i, (_, outcome) in responses.items():
            records[i].finish(outcome, end_s)
        return [None if i in later else responses[i][0] for i in answers]

    def _send_later(
        self, pb: Any, request: Any, record: RequestRecord, answer: Future[Outputs | Exception]
    ) -> None:
        """Answer a request later: Triton takes None for it now, and its one response from any
        thread (seen on 2.51)."""
        sender = request.get_response_sender()

        def send(done: Future[Outputs | Exception]) -> None:
            response, outcome = self._respond(pb, request, done.exception() or done.result())
            record.finish(outcome, time.perf_counter())
            sender.send(response, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

        answer.add_done_callback(send)

    def _read(self, pb: Any, request: Any) -> Any:
        try:
            refuse_timeout(request)
            return read_inputs(pb, self.stage.contract, request)
        except RequestError as error:
            return error

    def _run(self, batch: list[Tensors]) -> Sequence[Answer]:
        """The stage's answers. It must not raise: Triton would send the traceback to the client."""
        try:
            answers = self.stage.run(batch) if batch else []
            if len(answers) != len(batch):
                raise RuntimeError(f"{len(answers)} answers to {len(batch)} requests")
            return answers
        except Exception as error:
            return [error] * len(batch)

    def _respond(self, pb: Any, request: Any, answer: Outputs | BaseException) -> tuple[Any, str]:
        try:
            if isinstance(answer, BaseException):
                raise answer
            wanted = request.requested_output_names()
            return make_response(pb, self.stage.contract, answer, wanted), "ok"
        except Exception as error:
            triton_error = make_error(pb, error, wants_in_band_errors(request))
            return pb.InferenceResponse(error=triton_error), outcome_of(error)


class DecoupledModel:
    def __init__(self, stage: StreamingStage, telemetry: Telemetry) -> None:
        self.stage, self._telemetry = stage, telemetry

    def execute(self, requests: Sequence[Any]) -> None:
        pb = stub()
        for request in requests:
            stream = TritonStream(pb, self.stage.contract, request, self._telemetry)
            try:
                stream.read(request)
                self.stage.start(stream)
            except Exception as error:
                stream.fail(error)


def python_model(load: Callable[[StageContext], Stage | StreamingStage]) -> type:

    class TritonPythonModel:
        def initialize(self, args: dict[str, str]) -> None:
            model, version = args["model_name"], args["model_version"]
            watch_neighbours()
            os.nice(_niceness(args))  # before other threads are made: they inherit it
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
            self.model.stage.close()
            if self.tracer:
                self.tracer.close()
            self.meter.close()

    return TritonPythonModel


def _parameters(args: Mapping[str, str]) -> dict[str, str]:
    parameters = json.loads(args["model_config"]).get("parameters", {})
    return {key: value["string_value"] for key, value in parameters.items()}


def _niceness(args: Mapping[str, str]) -> int:
    """The placement's `niceness`, 0 to 19: how far this process yields the CPU to others."""
    return max(0, int(_parameters(args).get("niceness", "0")))


def _context(args: Mapping[str, str], meter: TritonMeter) -> StageContext:
    folder = Path(args["model_repository"]) / args["model_version"]
    device = int(args["model_instance_device_id"])
    return StageContext(folder, _parameters(args), ServerCaller(), meter, device)
