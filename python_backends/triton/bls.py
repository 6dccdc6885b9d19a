"""Calls from one model to others of the same server (Triton's business logic scripting, BLS)."""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ensembles.contracts import DOWN, ModelContract
from python_backends.errors import Cancelled, NotFound, Overloaded, RequestError, Unavailable
from python_backends.tensors import Array

IN_BAND_ERRORS = "errors_in_band"
"""Request parameter by which callers inside the server ask for errors as ordinary data.

In Triton 2.51, BLS loses the code of a called model's error, and hangs or reports nothing when a
decoupled model fails. With this parameter the error's message begins with its code, and a decoupled
model sends an error as an ordinary last response."""

ERROR = "error"
"""`finish_reason` of that last response; its `text_output` is the error."""

TRACEPARENT = "traceparent"
"""Request parameter with the caller's span (W3C Trace Context); BLS calls have no headers."""

QUEUE_FULL = "Exceeds maximum queue size"
"""Triton's message for a request that its queue refused: BLS loses the error's code here too."""

RESPONSES_KEPT_S = 1.0
"""How long the responses of a stream are kept after its end. Triton 2.51 releases them within
microseconds of the end, on a thread that does not hold Python's lock. If that were the last
reference, the process's memory would be damaged (docs/decisions/0018)."""


def stub() -> Any:
    """Triton's Python module; it exists inside the stub process only."""
    import triton_python_backend_utils

    return triton_python_backend_utils


class ServerCaller:
    def __init__(self) -> None:
        self._ended: deque[tuple[float, Any]] = deque()
        self._lock = threading.Lock()

    def call(
        self, model: ModelContract, inputs: Mapping[str, Array], traceparent: str | None = None
    ) -> dict[str, Array]:
        return self._outputs(self._request(model, inputs, "", traceparent).exec())

    def stream(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None = None,
    ) -> Iterator[dict[str, Array]]:
        responses = self._request(model, inputs, request_id, traceparent).exec(decoupled=True)
        try:
            for response in responses:
                outputs = self._outputs(response)
                if outputs.get("finish_reason", [b""])[0] == ERROR.encode():
                    raise _error_of(outputs["text_output"][0].decode())
                if outputs:
                    yield outputs
        finally:
            self._keep_for_a_while(responses)

    def _keep_for_a_while(self, responses: Any) -> None:
        """Keep the responses for `RESPONSES_KEPT_S`, and drop those kept that long."""
        now_s = time.monotonic()
        with self._lock:
            self._ended.append((now_s, responses))
            while self._ended[0][0] < now_s - RESPONSES_KEPT_S:
                self._ended.popleft()

    def _request(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None,
    ) -> Any:
        pb = stub()
        trace = {TRACEPARENT: traceparent} if traceparent else {}
        return pb.InferenceRequest(
            model_name=model.name,
            requested_output_names=[spec.name for spec in model.outputs],
            inputs=[pb.Tensor(name, array) for name, array in inputs.items()],
            request_id=request_id,
            parameters={IN_BAND_ERRORS: True, **trace},
        )

    def _outputs(self, response: Any) -> dict[str, Array]:
        if response.has_error():
            raise _error_of(response.error().message())
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def _error_of(message: str) -> Exception:
    """The called model's error, rebuilt from its code and message."""
    code, _, text = message.partition(": ")
    kinds = {kind.code: kind for kind in (RequestError, NotFound, Overloaded, Cancelled)}
    if text.endswith(DOWN):
        return Unavailable(text)
    if code in kinds:
        return kinds[code](text)
    return Overloaded(message) if QUEUE_FULL in message else RuntimeError(message)
