"""The LLM on OpenVINO GenAI: continuous batching with a paged KV cache, on a CPU.

One thread owns the pipeline: it adds requests, runs steps and delivers tokens. `step()` holds
Python's global lock, so all else in this process happens between two steps. A new guide is tried in
another thread; its request waits for that and then joins the others.
"""

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from python_backends.context import EngineFolder, StageContext
from python_backends.engines.guide_checks import GuideChecks, key_of
from python_backends.engines.guide_trial import guide_option
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
from python_backends.engines.openvino_properties import cpu_properties

KV_BLOCK_TOKENS = 32
"""Tokens of one KV block on the CPU (observed in OpenVINO GenAI 2026.4)."""

MOST_GUIDES = 4096
"""Guides that one pipeline may compile. It keeps about 60 KiB of each until it is deleted."""

logger = logging.getLogger(__name__)


@dataclass(eq=False)
class _Request(EngineRequest):
    """`handle` is set once the request is in the batch, `refusal` if its guide is refused."""

    handle: Any = None
    refusal: Exception | None = None


class OpenVinoLlm(LimitedEngine[_Request]):
    """The placement's `kv_cache_tokens` is a fixed limit of KV memory.

    When running requests exceed it, the pipeline preempts the youngest: it computes them again
    later, with the same tokens. A request that would not fit alone is refused by its length
    (`max_request_tokens`). Requests beyond `max_running_requests` and `max_waiting_requests` are
    `Overloaded`.
    """

    def __init__(self, context: StageContext, folder: EngineFolder) -> None:
        super().__init__(_Request, context, folder)
        blocks = context.integer("kv_cache_tokens") // KV_BLOCK_TOKENS
        # The scheduler needs one free block to extend a request that fills the rest.
        self.max_request_tokens = (blocks - 1) * KV_BLOCK_TOKENS
        self._eos = folder.manifest.eos_token_ids
        self._new_pipeline = partial(_load, context, folder, blocks)
        self._pipeline = self._new_pipeline()
        self._compiled: set[bytes] = set()
        self._guides = GuideChecks(folder.path, folder.manifest.vocabulary, self._eos)
        self._guide_thread = ThreadPoolExecutor(1, thread_name_prefix="openvino-llm-guides")
        self._incoming: deque[_Request] = deque()
        self._batch: set[int] = set()
        """Numbers of the requests in the pipeline. They are never more than it can run at once, so
        that metrics can tell waiting requests from running ones."""
        self._iterations = self._iteration_requests = 0
        self._cancelled: set[int] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._loop, name="openvino-llm", daemon=True)
        self._thread.start()

    def submit(self, prompt_ids: Sequence[int], params: GenerationParams, sink: Sink) -> int:
        with self._lock:
            request = self._accept(prompt_ids, params, sink)
            if params.guide is None or self._guides.allows(params.guide):
                self._incoming.append(request)
                self._lock.notify()
            else:
                self._guide_thread.submit(self._check_guide, request)
        return request.number

    def cancel(self, number: int) -> None:
        with self._lock:
            self._cancelled.add(number)
            self._lock.notify()

    def stats(self) -> EngineStats:
        steps = (self._iterations, self._iteration_requests)
        pipeline = self._pipeline
        if pipeline is None:
            return EngineStats(0, len(self._requests), 0.0, *steps)
        metrics = pipeline.get_metrics()
        running = min(metrics.scheduled_requests, len(self._requests))
        waiting = len(self._requests) - running
        return EngineStats(running, waiting, metrics.cache_usage / 100, *steps)

    def close(self) -> None:
        with self._lock:
            self._closing = True
            self._lock.notify()
        self._thread.join()
        self._guides.close()
        self._guide_thread.shutdown(cancel_futures=True)

    def _check_guide(self, request: _Request) -> None:
        """Runs on the thread of the guides: a trial takes up to several seconds."""
        assert request.params.guide is not None
        if request.number not in self._requests:  # cancelled meanwhile
            return
        try:
            self._guides.check(request.params.guide)
        except Exception as error:
            request.refusal = error
        with self._lock:
            if request.number in self._requests:
                self._incoming.append(request)
                self._lock.notify()

    def _loop(self) -> None:
        while self._update_batch():
            self._iterations += bool(self._batch)  # an empty batch: the step only frees memory
            self._iteration_requests += len(self._batch)
            try:
                self._pipeline.step()
            except Exception:
                logger.exception("a step of the pipeline failed; all requests are ended")
                self._end_all("error")
            for request in list(self._requests.values()):
                self._deliver(request)
            if not self._batch:
                self._free_memory()
                if self._is_full_of_guides:
                    self._load_again()

    def _free_memory(self) -> None:
        """Steps that free the memory of ended requests; the last one updates the metrics."""
        while self._pipeline.has_non_finished_requests():
            self._pipeline.step()
        self._pipeline.step()

    @property
    def _is_full_of_guides(self) -> bool:
        return len(self._compiled) >= MOST_GUIDES

    def _load_again(self) -> None:
        """Frees compiled guides. Nothing runs meanwhile; requests wait."""
        logger.info("the model is loaded again, to free %d compiled guides", len(self._compiled))
        self._pipeline = None  # before the new one, which needs its memory
        try:
            self._pipeline = self._new_pipeline()
        except Exception:
            logger.exception("the model can't be loaded again")
            os._exit(1)  # the supervisor starts another process; here nothing would be answered
        self._compiled.clear()

    def _update_batch(self) -> bool:
        """Wait for requests; cancel and add some. False when the engine closes."""
        with self._lock:
            self._lock.wait_for(
                lambda: self._batch or self._incoming or self._cancelled or self._closing
            )
            cancelled, self._cancelled = self._cancelled, set()
        for number in cancelled & self._requests.keys():
            self._end(self._requests[number], CANCELLED)
        room = 0 if self._is_full_of_guides else self._max_running
        while self._incoming and len(self._batch) < room:
            self._add(self._incoming.popleft())
        if self._closing:
            self._end_all("cancelled")
        return not self._closing

    def _add(self, request: _Request) -> None:
        if request.refusal is not None:
            self._end(request, Delta((), "error", request.refusal))
            return
        if request.params.guide is not None:
            self._compiled.add(key_of(request.params.guide))
        request.sink(SCHEDULED)
        self._batch.add(request.number)
        ids = _tensor(request.prompt_ids)
        try:
            request.handle = self._pipeline.add_request(
                request.number, ids, _config(request.params, self._eos)
            )
        except Exception:
            logger.exception("the pipeline refused a request")
            self._end(request, Delta((), "error"))

    def _deliver(self, request: _Request) -> None:
        ids: list[int] = []
        reason: str | None = None
        while request.handle is not None and request.handle.can_read():
            (output,) = request.handle.read().values()
            ids += output.generated_ids
            reason = _reason(output.finish_reason)
        if reason:
            self._end(request, Delta(tuple(ids), reason))
        elif ids:
            request.sink(Delta(tuple(ids)))

    def _end(self, request: _Request, last: Delta) -> None:
        with self._lock:
            del self._requests[request.number]
            if request in self._incoming:  # it is still waiting
                self._incoming.remove(request)
        self._batch.discard(request.number)
        if request.handle is not None and last.finish_reason in ("cancelled", "error"):
            request.handle.cancel()
        request.sink(last)

    def _end_all(self, reason: str) -> None:
        for request in list(self._requests.values()):
            self._end(request, Delta((), reason))


def _load(context: StageContext, folder: EngineFolder, blocks: int) -> Any:
    import openvino_genai

    for name in folder.manifest.files:  # the library does not notice changed weights
        folder.file(name)
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.num_kv_blocks = blocks
    scheduler.max_num_seqs = context.integer("max_running_requests")
    scheduler.max_num_batched_tokens = context.integer("max_step_tokens")
    scheduler.dynamic_split_fuse = True  # chunked prefill
    scheduler.enable_prefix_caching = bool(context.integer("prefix_caching"))
    if scheduler.enable_prefix_caching:
        logger.warning("prefix_caching = 1: concurrent prompts that begin alike can get wrong text")
    properties = cpu_properties(context, folder.manifest.precision)
    if folder.manifest.precision == "fp32":  # the default is 8 bits
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
    # Else GenAI adds that of generation_config.json, and refuses each request where it has none.
    config.eos_token_id = min(eos, default=-1)
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
    if params.guide is not None:
        option = guide_option(params.guide.type, params.guide.text)
        config.structured_output_config = openvino_genai.StructuredOutputConfig(**option)
    return config


def _reason(reason: Any) -> str | None:
    import openvino_genai

    reasons = openvino_genai.GenerationFinishReason
    return {reasons.STOP: "stop", reasons.LENGTH: "length"}.get(reason)
