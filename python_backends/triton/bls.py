"""Business logic scripting: calls from one model to others of the same server.

With adapter.py, responses.py and metering.py the only module that knows Triton's Python stub.
"""

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

from ensembles.contracts import ModelContract
from python_backends.stage import ERROR, Array, Cancelled, Overloaded, RequestError

IN_BAND_ERRORS = "errors_in_band"
"""Request parameter of callers inside the server. Business logic scripting (BLS) in Triton 2.51
loses the code of an inner error, and hangs or stays silent on an error of a decoupled model, so
these callers get the code in the message, and a decoupled error as an ordinary last response."""

TRACEPARENT = "traceparent"
"""Request parameter with the caller's span (W3C Trace Context), where headers don't reach."""

QUEUE_FULL = "Exceeds maximum queue size"
"""Triton's own words for a request that it did not queue; the code is lost like all inner ones."""


KEPT_S = 1.0
"""How long the responses of a stream outlive it. Triton 2.51 lets go of them in a thread of its own
that does not hold Python's lock: were it the last to do so, the process's memory would be damaged
(docs/decisions/0018). It does so within microseconds of the stream's end."""


def stub() -> Any:
    """Triton's module of this process."""
    import triton_python_backend_utils  # only importable inside Triton's stub process

    return triton_python_backend_utils


class ServerCaller:
    """Calls other models of the same server (business logic scripting)."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, Any]] = deque()
        self._lock = threading.Lock()

    def call(
        self, model: ModelContract, inputs: Mapping[str, Array], traceparent: str | None = None
    ) -> dict[str, Array]:
        """Outputs of a model that answers once; raises the inner `RequestError` with its code."""
        return self._outputs(self._request(model, inputs, "", traceparent).exec())

    def stream(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None = None,
    ) -> Iterator[dict[str, Array]]:
        """Outputs of each response of a decoupled model; raises `RequestError`."""
        responses = self._request(model, inputs, request_id, traceparent).exec(decoupled=True)
        try:
            for response in responses:
                outputs = self._outputs(response)
                if outputs.get("finish_reason", [b""])[0] == ERROR.encode():
                    raise _inner_error(outputs["text_output"][0].decode())
                if outputs:
                    yield outputs
        finally:
            self._keep(responses)

    def _keep(self, responses: Any) -> None:
        """Hold what a stream brought for `KEPT_S`, and let go of what was held that long."""
        now_s = time.monotonic()
        with self._lock:
            self._ended.append((now_s, responses))
            while self._ended[0][0] < now_s - KEPT_S:
                self._ended.popleft()

    def _request(
        self,
        model: ModelContract,
        inputs: Mapping[str, Array],
        request_id: str,
        traceparent: str | None,
    ) -> Any:
        pb = stub()
        traced = {TRACEPARENT: traceparent} if traceparent else {}
        return pb.InferenceRequest(
            model_name=model.name,
            requested_output_names=[spec.name for spec in model.outputs],
            inputs=[pb.Tensor(name, array) for name, array in inputs.items()],
            request_id=request_id,
            parameters={IN_BAND_ERRORS: True, **traced},
        )

    def _outputs(self, response: Any) -> dict[str, Array]:
        if response.has_error():
            raise _inner_error(response.error().message())
        return {tensor.name(): tensor.as_numpy() for tensor in response.output_tensors()}


def _inner_error(message: str) -> Exception:
    """The `RequestError` that an inner model answered, rebuilt from its in-band form."""
    code, _, text = message.partition(": ")
    kinds = {kind.code: kind for kind in (RequestError, Overloaded, Cancelled)}
    if code in kinds:
        return kinds[code](text)
    return Overloaded(message) if QUEUE_FULL in message else RuntimeError(message)
