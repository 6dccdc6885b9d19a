"""The LLM on OpenVINO GenAI: continuous batching with paged KV memory, on a CPU.

One thread owns the pipeline: it adds requests, steps, and hands out tokens. `step()` holds Python's
global lock, so whatever else this process does happens between two steps (facts: engines-cpu).
"""

import itertools
import logging
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from python_backends.engines import CANCELLED, JOINED, Delta, EngineStats, Sink, overloaded
from python_backends.generation.sampling import GenerationParams
from python_backends.stage import EngineFolder, StageContext

KV_BLOCK_TOKENS = 32
"""Tokens of one KV block on the CPU device (observed in OpenVINO GenAI 2026.4)."""

_PRECISION_HINTS = {"fp32": "f32", "bf16": "bf16"}

logger = logging.getLogger("python_backends.openvino_llm")


@dataclass(eq=False)
class _Job:
    """A request between `submit` and its last delta; `handle` is there once it is in the batch."""

    number: int
    prompt_ids: Sequence[int]
    params: GenerationParams
    sink: Sink
    handle: Any = None


class OpenVinoLlm:
    """Sizes come from the placement: `kv_cache_tokens` bounds the KV memory for good.

    When running requests outgrow it, the youngest are set back and computed again later: they get
    the same tokens, late. A request that could never fit alone is refused by its length
    (`max_request_tokens`), and one that finds `max_waiting_requests` ahead of it is `Overloaded`.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        blocks = context.integer("kv_cache_tokens") // KV_BLOCK_TOKENS
        # One block stays free: the scheduler needs it to grow a request that fills the rest.
        self.max_request_tokens = (blocks - 1) * KV_BLOCK_TOKENS
        self._max_running = context.integer("max_running_requests")
        self._max_jobs = self._max_running + context.integer("max_waiting_requests")
        self._eos = folder.manifest.eos_token_ids
        self._pipeline = _load(context, folder, blocks)
        self._numbers = itertools.count()
        self._wake = threading.Condition()
        self._incoming: deque[_Job] = deque()
        self._batch: set[int] = set()
        """Numbers of the requests that the pipeline has: never more than it can run at once, so
        that a request waits in our queue or is being computed, and metrics can tell which."""
        self._iterations = self._iteration_requests = 0
        self._cancelled: set[int] = set()
        self._jobs: dict[int, _Job] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="openvino-llm", daemon=True)
        self._thread.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        """Queue a request; raises `Overloaded` when too many wait already."""
        with self._wake:
            if len(self._jobs) >= self._max_jobs:
                raise overloaded(len(self._jobs))
            job = _Job(next(self._numbers), prompt_ids, params, sink)
            self._jobs[job.number] = job
            self._incoming.append(job)
            self._wake.notify()
        return job.number

    def cancel(self, request: int) -> None:
        """End a request before the next step; its sink gets a last delta."""
        with self._wake:
            self._cancelled.add(request)
            self._wake.notify()

    def stats(self) -> EngineStats:
        """Requests in the batch and outside it, and the share of KV blocks in use."""
        metrics = self._pipeline.get_metrics()
        running = min(metrics.scheduled_requests, len(self._jobs))
        return EngineStats(
            running,
            len(self._jobs) - running,
            metrics.cache_usage / 100,
            self._iterations,
            self._iteration_requests,
        )

    def close(self) -> None:
        """End all requests, then the thread."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join()

    def _loop(self) -> None:
        while self._take_orders():
            self._iterations += bool(self._batch)  # a step may only clear away what was stopped
            self._iteration_requests += len(self._batch)
            try:
                self._pipeline.step()
            except Exception:
                logger.exception("a step of the pipeline failed; its requests are ended")
                self._end_all("error")
            for job in list(self._jobs.values()):
                self._deliver(job)
            if not self._jobs:
                self._settle()

    def _settle(self) -> None:
        """Steps that give back the memory of ended requests; the last one updates the metrics."""
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        self._pipeline.step()

    def _take_orders(self) -> bool:
        """Wait for work; add and drop requests. False when the engine closes."""
        with self._wake:
            self._wake.wait_for(lambda: self._jobs or self._closing)
            cancelled, self._cancelled = self._cancelled, set()
        for number in cancelled & self._jobs.keys():
            self._end(self._jobs[number], CANCELLED)
        while self._incoming and len(self._batch) < self._max_running:
            self._add(self._incoming.popleft())
        if self._closing:
            self._end_all("cancelled")
        return not self._closing

    def _add(self, job: _Job) -> None:
        job.sink(JOINED)
        self._batch.add(job.number)
        ids = _tensor(job.prompt_ids)
        try:
            job.handle = self._pipeline.add_request(job.number, ids, _config(job.params, self._eos))
        except Exception:
            logger.exception("the pipeline refused a request")
            self._end(job, Delta((), "error"))

    def _deliver(self, job: _Job) -> None:
        """Hand over what the step made; the last delta carries the reason."""
        ids: list[int] = []
        reason: str | None = None
        while job.handle is not None and job.handle.can_read():
            (output,) = job.handle.read().values()
            ids += output.generated_ids
            reason = _reason(output.finish_reason)
        if reason:
            self._end(job, Delta(tuple(ids), reason))
        elif ids:
            job.sink(Delta(tuple(ids)))

    def _end(self, job: _Job, last: Delta) -> None:
        with self._wake:
            del self._jobs[job.number]
            if job in self._incoming:  # it ends while it waits
                self._incoming.remove(job)
        self._batch.discard(job.number)
        if job.handle is not None and last.finish_reason in ("cancelled", "error"):
            job.handle.cancel()
        job.sink(last)

    def _end_all(self, reason: str) -> None:
        for job in list(self._jobs.values()):
            self._end(job, Delta((), reason))


def _load(context: StageContext, folder: EngineFolder, blocks: int) -> Any:
    import openvino_genai

    for name in folder.manifest.files:  # the library takes weights with a changed byte as they are
        folder.file(name)
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = blocks
    scheduler.max_num_seqs = context.integer("max_running_requests")
    scheduler.max_num_batched_tokens = context.integer("max_step_tokens")
    scheduler.dynamic_split_fuse = True  # long prompts go in pieces, between others' tokens
    scheduler.enable_prefix_caching = bool(context.integer("prefix_caching"))
    if scheduler.enable_prefix_caching:
        logger.warning("prefix_caching = 1: concurrent prompts that begin alike can get wrong text")
    properties: dict[str, object] = {}
    if threads := context.integer("num_threads"):
        properties["INFERENCE_NUM_THREADS"] = threads
    if hint := _PRECISION_HINTS.get(folder.manifest.precision):
        properties["INFERENCE_PRECISION_HINT"] = hint
    if folder.manifest.precision == "fp32":  # by default keys and values are kept in 8 bits
        properties["KV_CACHE_PRECISION"] = "f32"
    return openvino_genai.ContinuousBatchingPipeline(str(folder.path), scheduler, "CPU", properties)


def _tensor(ids: Sequence[int]) -> Any:
    import openvino

    return openvino.Tensor(np.array([ids], dtype=np.int64))


def _config(params: GenerationParams, eos: Sequence[int]) -> Any:
    import openvino_genai

    config = openvino_genai.GenerationConfig()
    config.max_new_tokens = params.max_tokens
    config.min_new_tokens = params.min_tokens
    config.stop_token_ids = set(eos)
    config.repetition_penalty = params.repetition_penalty
    config.presence_penalty = params.presence_penalty
    config.frequency_penalty = params.frequency_penalty
    config.do_sample = not params.greedy
    if config.do_sample:
        config.temperature = params.temperature
        config.top_p = params.top_p
        config.rng_seed = params.seed
        if params.top_k:
            config.top_k = params.top_k
    return config


def _reason(reason: Any) -> str | None:
    import openvino_genai

    reasons = openvino_genai.GenerationFinishReason
    return {reasons.STOP: "stop", reasons.LENGTH: "length"}.get(reason)
