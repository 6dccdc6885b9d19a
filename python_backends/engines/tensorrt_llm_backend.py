"""The LLM on NVIDIA's C++ `tensorrtllm` backend, in the model `tensorrt_llm` of the same server.

It was not run on a GPU yet: tests use a stand-in with the same tensors (tests/server/stand_ins).

Triton's Python backend before 25.04 loses an error that comes after the first response of such a
stream, and the stream never ends (fixed in python_backend 7f21b67). TensorRT-LLM 1.2.1 comes in
newer containers only.
"""

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from python_backends.context import EngineFolder, StageContext
from python_backends.engines.llm_engine import (
    CANCELLED,
    SCHEDULED,
    Delta,
    EngineRequest,
    EngineStats,
    GenerationParams,
    LimitedEngine,
    Sink,
)
from python_backends.engines.tensorrt_llm_tensors import TENSORRT_LLM, request_inputs, stop_inputs

STOP_INTERVAL_S = 0.1
"""Pause between stop requests for one generation: the first may come before the backend has it."""

STOP_TIMEOUT_S = 5.0
"""How long the backend may take to end a cancelled generation before the engine gives it up."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Request(EngineRequest):
    tokens: int = 0
    cancelled_s: float = 0.0
    """`time.monotonic` of its cancellation; 0 before."""

    @property
    def id(self) -> str:
        """The id at the backend, which would read one that begins with digits as a number."""
        return f"llm-{os.getpid()}-{self.number}"

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled_s > 0.0

    def cancel(self) -> None:
        self.cancelled_s = self.cancelled_s or time.monotonic()


class TensorRtLlmBackend(LimitedEngine[_Request]):
    """One thread per running request, because a call to another model blocks its thread.

    The backend batches the requests that run at the same time. The use of its KV cache is in its
    own metrics (`nv_trt_llm_kv_cache_block_metrics`).
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        super().__init__(_Request, context, folder)
        self.max_request_tokens = folder.manifest.max_tokens
        self._eos = folder.manifest.eos_token_ids
        self._caller = context.caller
        self._waiting: deque[_Request] = deque()
        self._running = 0
        self._is_closed = False
        self._stopper = threading.Thread(target=self._stop_cancelled, name="stop", daemon=True)
        self._stopper.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        with self._lock:
            request = self._accept(prompt_ids, params, sink)
            if self._running < self._max_running:
                self._running += 1
                threading.Thread(
                    target=self._work, args=(request,), name=request.id, daemon=True
                ).start()
            else:
                self._waiting.append(request)
        return request.number

    def cancel(self, number: int) -> None:
        with self._lock:
            if request := self._requests.get(number):
                request.cancel()
                self._lock.notify_all()

    def stats(self) -> EngineStats:
        with self._lock:
            return EngineStats(self._running, len(self._waiting), float("nan"))

    def close(self) -> None:
        """A request that the backend does not end in time ends with the process."""
        with self._lock:
            for request in self._requests.values():
                request.cancel()
            self._lock.notify_all()
            self._lock.wait_for(lambda: not self._requests, timeout=2 * STOP_TIMEOUT_S)
            self._is_closed = True
            self._lock.notify_all()
        self._stopper.join(STOP_TIMEOUT_S)

    def _work(self, first: _Request) -> None:
        request: _Request | None = first
        while request:
            self._serve(request)
            with self._lock:
                request = self._waiting.popleft() if self._waiting else None
                if request is None:
                    self._running -= 1

    def _serve(self, request: _Request) -> None:
        try:
            self._generate(request)
        except Exception as error:
            self._end(request, Delta((), "error", error))
            return
        # The backend leaves the end token out: an answer shorter than `max_tokens` ended with it.
        self._end(request, CANCELLED if request.is_cancelled else Delta((), "stop"))

    def _generate(self, request: _Request) -> None:
        if request.is_cancelled:
            return
        request.sink(SCHEDULED)
        inputs = request_inputs(request.prompt_ids, request.params, self._eos)
        for outputs in self._caller.stream(TENSORRT_LLM, inputs, request.id):
            if not request.is_cancelled:
                self._deliver(request, tuple(outputs["output_ids"].reshape(-1).tolist()))

    def _deliver(self, request: _Request, ids: tuple[int, ...]) -> None:
        """The backend gives no finish reason: it follows from the last id and the number of ids."""
        request.tokens += len(ids)
        if ids and ids[-1] in self._eos:
            self._end(request, Delta(ids, "stop"))
        elif request.tokens >= request.params.max_tokens:
            self._end(request, Delta(ids, "length"))
        elif ids:
            request.sink(Delta(ids))

    def _end(self, request: _Request, last: Delta) -> None:
        """Deliver the last delta, once."""
        with self._lock:
            if self._requests.pop(request.number, None) is None:
                return
            self._lock.notify_all()
        request.sink(last)

    def _stop_cancelled(self) -> None:
        """Runs on a thread of its own, until the engine closes."""
        while requests := self._cancelled_requests():
            for request in requests:
                self._stop(request)
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed, timeout=STOP_INTERVAL_S)

    def _cancelled_requests(self) -> list[_Request]:

        def found() -> list[_Request]:
            return [request for request in self._requests.values() if request.is_cancelled]

        with self._lock:
            self._lock.wait_for(lambda: self._is_closed or found())
            return [] if self._is_closed else found()

    def _stop(self, request: _Request) -> None:
        """End a waiting request at once, a running one by NVIDIA's stop request."""
        with self._lock:
            is_waiting = request in self._waiting
            if is_waiting:
                self._waiting.remove(request)
        is_stuck = time.monotonic() - request.cancelled_s > STOP_TIMEOUT_S
        if is_stuck:
            logger.error("a generation does not stop; its thread stays blocked")
        if is_waiting or is_stuck:
            self._end(request, CANCELLED)
            return
        try:
            for _ in self._caller.stream(TENSORRT_LLM, stop_inputs(), request.id):
                pass
        except Exception:  # repeated until the generation ends
            logger.exception("a generation could not be stopped; trying again")
