"""A `Stream` over Triton's response sender."""

import threading
import time
from collections.abc import Collection
from typing import Any

from ensembles.contracts import ModelContract
from python_backends.errors import outcome_of
from python_backends.tensors import Outputs, Tensors
from python_backends.triton.bls import ERROR
from python_backends.triton.responses import (
    make_error,
    make_response,
    read_inputs,
    read_timeout_us,
    wants_in_band_errors,
)
from python_backends.triton.telemetry import RequestRecord, Telemetry


class TritonStream(RequestRecord):
    """A decoupled contract with a batch dimension is served one row at a time.

    The leading dimension of 1 is taken off the inputs here; `make_response` puts it back.
    """

    def __init__(
        self, pb: Any, contract: ModelContract, request: Any, telemetry: Telemetry
    ) -> None:
        super().__init__(telemetry, request)
        self._pb, self._contract = pb, contract
        self._sender = request.get_response_sender()
        self._wanted: Collection[str] = request.requested_output_names()
        self._in_band = wants_in_band_errors(request)
        self._final_flag = pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL
        # The server frees its request with the final response: is_cancelled() would then crash it.
        self._lock = threading.Lock()
        self._is_open = True
        self.id: str = request.request_id()
        self.timeout_us = 0
        self.tensors = Tensors({})

    def read(self, request: Any) -> None:
        tensors = read_inputs(self._pb, self._contract, request)
        if self._contract.batched:
            tensors = Tensors({name: array[0] for name, array in tensors.values.items()})
        self.tensors = tensors
        self.timeout_us = read_timeout_us(request)

    def send(self, outputs: Outputs, final: bool = False, outcome: str | None = "ok") -> None:
        response = make_response(self._pb, self._contract, outputs, self._wanted)
        if final:
            self._end(response, outcome)
            return
        with self._lock:
            if self._is_open:
                self._sender.send(response, flags=0)

    def fail(self, error: Exception) -> None:
        triton_error = make_error(self._pb, error, self._in_band)
        if self._in_band:
            last = {"text_output": [triton_error.message()], "finish_reason": [ERROR]}
            self.send(last, final=True, outcome=outcome_of(error))
        else:
            self._end(self._pb.InferenceResponse(error=triton_error), outcome_of(error))

    def is_cancelled(self) -> bool:
        """Asks the server, which takes about 40 us."""
        with self._lock:
            return self._is_open and bool(self._sender.is_cancelled())

    def _end(self, response: Any, outcome: str | None) -> None:
        """Send the last response, once; one that can't be sent counts as failed."""
        end_s = time.perf_counter()  # before the send: the caller's span must end after this one
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            try:
                self._sender.send(response, flags=self._final_flag)
            except Exception:
                outcome = outcome and "failed"
                raise
            finally:
                self.finish(outcome, end_s)
