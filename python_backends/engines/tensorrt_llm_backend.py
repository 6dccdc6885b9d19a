"""The LLM on NVIDIA's C++ `tensorrtllm` backend, in the model `tensorrt_llm` of the same server.

Not run on a GPU yet: tests drive a stand-in with the same tensors (tests/server/stand_ins). Names,
dtypes and shapes are those of facts/tensorrt-llm.md 2.1 and of NVIDIA/TensorRT-LLM's
triton_backend/inflight_batcher_llm/src: model_instance_state.cc (c8c6df08), utils.cc (19290813).

Triton's Python backend before 25.04 loses an error that comes behind the first response of such a
stream, and the stream never ends (python_backend 7f21b67 mended it). TensorRT-LLM 1.2.1 is in newer
containers only.
"""

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ensembles.contracts import ModelContract, optional, tensor
from ensembles.tensors import DType
from python_backends.engines import (
    CANCELLED,
    JOINED,
    Delta,
    EngineStats,
    Sink,
    overloaded,
    running_requests,
)
from python_backends.generation.sampling import GenerationParams
from python_backends.stage import Array, EngineFolder, StageContext

TENSORRT_LLM = ModelContract(
    name="tensorrt_llm",
    inputs=(
        tensor("input_ids", DType.INT32, "tokens", ragged=True),
        tensor("input_lengths", DType.INT32, 1),
        tensor("request_output_len", DType.INT32, 1),
        optional("beam_width", DType.INT32, 1),
        optional("end_id", DType.INT32, 1),
        optional("pad_id", DType.INT32, 1),
        optional("stop_words_list", DType.INT32, 2, "ids"),
        optional("min_tokens", DType.INT32, 1),
        optional("runtime_top_k", DType.INT32, 1),
        optional("runtime_top_p", DType.FP32, 1),
        optional("temperature", DType.FP32, 1),
        optional("repetition_penalty", DType.FP32, 1),
        optional("presence_penalty", DType.FP32, 1),
        optional("frequency_penalty", DType.FP32, 1),
        optional("seed", DType.UINT64, 1),
        optional("streaming", DType.BOOL, 1),
        optional("exclude_input_in_output", DType.BOOL, 1),
        optional("stop", DType.BOOL, 1),
    ),
    outputs=(  # both must be asked for, whichever is read
        tensor("output_ids", DType.INT32, "beams", "tokens"),
        tensor("sequence_length", DType.INT32, "beams"),
    ),
    batched=True,
    decoupled=True,
)
"""What this engine uses of the backend's 62 inputs and 21 outputs."""

STOP_AGAIN_S = 0.1
"""Pause between stop requests of one generation: the first may come before the backend knows it."""

GIVE_UP_S = 5.0
"""A generation that goes on for so long after its first stop request is ended without its end."""

_NUMPY = {
    DType.INT32: np.int32,
    DType.FP32: np.float32,
    DType.UINT64: np.uint64,
    DType.BOOL: np.bool_,
}

logger = logging.getLogger("python_backends.tensorrt_llm_backend")


@dataclass(eq=False)
class _Job:
    """A request between `submit` and its last delta; `id` is that of its request to the backend."""

    number: int
    id: str
    prompt_ids: Sequence[int]
    params: GenerationParams
    sink: Sink
    tokens: int = 0
    cancelled_s: float = 0.0
    """When it was cancelled (monotonic), 0 before."""

    @property
    def is_cancelled(self) -> bool:
        return self.cancelled_s > 0.0

    def cancel(self) -> None:
        self.cancelled_s = self.cancelled_s or time.monotonic()


class TensorRtLlmBackend:
    """One thread per running request, because a call to another model blocks its thread.

    The backend batches what runs at the same time: as many requests as its `max_batch_size`, at
    most the placement's `max_running_requests`. Its own gauges
    (`nv_trt_llm_kv_cache_block_metrics`) tell of the KV cache.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        self.max_request_tokens = folder.manifest.max_tokens
        self._eos = folder.manifest.eos_token_ids
        self._caller = context.caller
        self._max_running = running_requests(context, folder)
        self._max_jobs = self._max_running + context.integer("max_waiting_requests")
        self._numbers = itertools.count()
        self._lock = threading.Condition()
        self._jobs: dict[int, _Job] = {}
        self._waiting: deque[_Job] = deque()
        self._running = 0
        self._is_closed = False
        self._stopper = threading.Thread(target=self._stop_cancelled, name="stop", daemon=True)
        self._stopper.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        """Start a request, or queue it; raises `Overloaded` when too many wait already."""
        with self._lock:
            if len(self._jobs) >= self._max_jobs:
                raise overloaded(len(self._jobs))
            number = next(self._numbers)
            # Not a number: the backend would read its leading digits as the whole id.
            job = _Job(number, f"llm-{os.getpid()}-{number}", prompt_ids, params, sink)
            self._jobs[number] = job
            if self._running < self._max_running:
                self._running += 1
                threading.Thread(target=self._work, args=(job,), name=job.id, daemon=True).start()
            else:
                self._waiting.append(job)
        return number

    def cancel(self, request: int) -> None:
        """Have the request stopped; its sink gets a last delta once the backend has ended it."""
        with self._lock:
            if job := self._jobs.get(request):
                job.cancel()
                self._lock.notify_all()

    def stats(self) -> EngineStats:
        """Own counts; the use of the KV cache is not known here."""
        with self._lock:
            return EngineStats(self._running, len(self._waiting), float("nan"))

    def close(self) -> None:
        """Cancel all requests, then end the stopping thread; a stuck one ends with the process."""
        with self._lock:
            for job in self._jobs.values():
                job.cancel()
            self._lock.notify_all()
            self._lock.wait_for(lambda: not self._jobs, timeout=2 * GIVE_UP_S)
            self._is_closed = True
            self._lock.notify_all()
        self._stopper.join(GIVE_UP_S)

    def _work(self, first: _Job) -> None:
        """On a thread of its own: one request after the other, while any wait."""
        job: _Job | None = first
        while job:
            self._serve(job)
            with self._lock:
                job = self._waiting.popleft() if self._waiting else None
                if job is None:
                    self._running -= 1

    def _serve(self, job: _Job) -> None:
        try:
            self._generate(job)
        except Exception as error:
            self._end(job, Delta((), "error", error))
            return
        # The end token is not among the ids: an answer that ends early has come upon it.
        self._end(job, CANCELLED if job.is_cancelled else Delta((), "stop"))

    def _generate(self, job: _Job) -> None:
        """Hand over the ids of each response, until the backend ends its stream."""
        if job.is_cancelled:
            return
        job.sink(JOINED)
        inputs = request_inputs(job.prompt_ids, job.params, self._eos)
        for outputs in self._caller.stream(TENSORRT_LLM, inputs, job.id):
            if not job.is_cancelled:
                self._deliver(job, tuple(outputs["output_ids"].reshape(-1).tolist()))

    def _deliver(self, job: _Job, ids: tuple[int, ...]) -> None:
        """The backend names no reason: it is told by the last id and the number of ids."""
        job.tokens += len(ids)
        if ids and ids[-1] in self._eos:
            self._end(job, Delta(ids, "stop"))
        elif job.tokens >= job.params.max_tokens:
            self._end(job, Delta(ids, "length"))
        elif ids:
            job.sink(Delta(ids))

    def _end(self, job: _Job, last: Delta) -> None:
        """Give the last delta, unless the request has had it."""
        with self._lock:
            if self._jobs.pop(job.number, None) is None:
                return
            self._lock.notify_all()
        job.sink(last)

    def _stop_cancelled(self) -> None:
        """End cancelled requests: at once while they wait, else by NVIDIA's stop request."""
        while jobs := self._cancelled_jobs():
            for job in jobs:
                self._stop(job)
            with self._lock:
                self._lock.wait_for(lambda: self._is_closed, timeout=STOP_AGAIN_S)

    def _cancelled_jobs(self) -> list[_Job]:
        """Wait for some; none when the engine has closed."""

        def found() -> list[_Job]:
            return [job for job in self._jobs.values() if job.is_cancelled]

        with self._lock:
            self._lock.wait_for(lambda: self._is_closed or found())
            return [] if self._is_closed else found()

    def _stop(self, job: _Job) -> None:
        with self._lock:
            is_waiting = job in self._waiting
            if is_waiting:
                self._waiting.remove(job)
        has_no_end = time.monotonic() - job.cancelled_s > GIVE_UP_S
        if has_no_end:
            logger.error("a generation does not stop; its thread is lost")
        if is_waiting or has_no_end:
            self._end(job, CANCELLED)
            return
        try:
            for _ in self._caller.stream(TENSORRT_LLM, stop_inputs(), job.id):
                pass
        except Exception:  # asked again until the generation ends
            logger.exception("a generation could not be stopped; trying again")


def request_inputs(
    prompt_ids: Sequence[int], params: GenerationParams, eos: Sequence[int]
) -> dict[str, Array]:
    """The tensors of one request, each with its batch dimension of one.

    Stop words are not among them: the stage looks for them in the text. `stop_words_list` carries
    the model's further end tokens, because `end_id` takes one: ids in its first row, where each
    ends in the second.
    """
    values: dict[str, object] = {
        "input_ids": prompt_ids,
        "input_lengths": [len(prompt_ids)],
        "request_output_len": [params.max_tokens],
        "beam_width": [1],
        "streaming": [True],
        "exclude_input_in_output": [True],
    }
    if eos:
        values |= {"end_id": [eos[0]], "pad_id": [eos[0]]}
    if others := eos[1:]:
        values["stop_words_list"] = [others, range(1, len(others) + 1)]
    return _tensors(values | _sampling(params))


def stop_inputs() -> dict[str, Array]:
    """The request that ends a generation of the same id; it needs the required inputs too."""
    nothing: dict[str, object] = {"input_lengths": [0], "request_output_len": [0]}
    return _tensors({"input_ids": [0], "stop": [True]} | nothing)


def _sampling(params: GenerationParams) -> dict[str, object]:
    """Greedy is `runtime_top_k` 1; left out, `min_tokens` would be 1 there, not 0."""
    values: dict[str, object] = {
        "min_tokens": [params.min_tokens],
        "repetition_penalty": [params.repetition_penalty],
        "presence_penalty": [params.presence_penalty],
        "frequency_penalty": [params.frequency_penalty],
        "seed": [params.seed],
    }
    if params.greedy:
        return values | {"runtime_top_k": [1]}
    return values | {
        "runtime_top_k": [params.top_k],
        "runtime_top_p": [params.top_p],
        "temperature": [params.temperature],
    }


def _tensors(values: dict[str, object]) -> dict[str, Array]:
    types = {spec.name: _NUMPY[spec.dtype] for spec in TENSORRT_LLM.inputs}
    return {name: np.array([value], dtype=types[name]) for name, value in values.items()}
