"""The metrics of `llm`: phases, tokens and latencies of each generation, state of the engine.

`Timeline` runs on the engine's thread, which must not wait: each method only stores values.
"""

import math
import time

from ensembles.metrics import (
    INTER_TOKEN,
    ITERATION_REQUESTS,
    ITERATIONS,
    KV_CACHE_USED,
    RUNNING,
    TIME_PER_OUTPUT_TOKEN,
    TIME_TO_FIRST_TOKEN,
    TOKENS,
    WAITING,
)
from python_backends.context import Meter
from python_backends.engines.llm_engine import EngineStats
from python_backends.stage import Stream


class LlmMetrics:
    def __init__(self, meter: Meter) -> None:
        self.first_token = meter.histogram(TIME_TO_FIRST_TOKEN)
        self.per_token = meter.histogram(TIME_PER_OUTPUT_TOKEN)
        self.inter_token = meter.histogram(INTER_TOKEN)
        self.input = meter.counter(TOKENS, type="input")
        self.output = meter.counter(TOKENS, type="output")
        self.cached = meter.counter(TOKENS, type="cached")


class EngineMetrics:
    def __init__(self, meter: Meter) -> None:
        self._running, self._waiting = meter.gauge(RUNNING), meter.gauge(WAITING)
        self._kv_cache_used = meter.gauge(KV_CACHE_USED)
        self._iterations = meter.counter(ITERATIONS)
        self._iteration_requests = meter.counter(ITERATION_REQUESTS)
        self._last = EngineStats(0, 0, 0.0)

    def show(self, stats: EngineStats) -> None:
        self._running.set(stats.running)
        self._waiting.set(stats.waiting)
        if not math.isnan(stats.kv_cache_used):
            self._kv_cache_used.set(stats.kv_cache_used)
        self._iterations.increment(stats.iterations - self._last.iterations)
        self._iteration_requests.increment(stats.iteration_requests - self._last.iteration_requests)
        self._last = stats


class Timeline:
    """The phases tokenize, queue, prefill and decode of a generation; a time is NaN until then."""

    def __init__(self, stream: Stream, prompt_tokens: int, metrics: LlmMetrics) -> None:
        self._stream, self._metrics = stream, metrics
        self._prompt_tokens = prompt_tokens
        self._submitted_s = time.perf_counter()
        self._scheduled_s = self._first_token_s = self._last_token_s = self._last_chunk_s = math.nan
        self._first_tokens = self._tokens = self._cached_tokens = 0
        self._is_over = False
        stream.record_phase("tokenize", stream.arrival_s, self._submitted_s)

    def scheduled(self) -> None:
        self._scheduled_s = time.perf_counter()

    def received(self, tokens: int, cached_tokens: int) -> None:
        if not tokens:
            return
        self._last_token_s = time.perf_counter()
        if math.isnan(self._first_token_s):
            self._first_token_s, self._first_tokens = self._last_token_s, tokens
            self._cached_tokens = cached_tokens
            self._metrics.first_token.observe(self._first_token_s - self._stream.arrival_s)
            self._metrics.input.increment(self._prompt_tokens)
            self._metrics.cached.increment(cached_tokens)

    def detokenized(self, tokens: int) -> None:
        """Tokens became part of the answer; tokens after a stop word don't."""
        self._tokens += tokens
        self._metrics.output.increment(tokens)

    def sending(self, tokens: int) -> None:
        now_s = time.perf_counter()
        if tokens and not math.isnan(self._last_chunk_s):
            self._metrics.inter_token.observe((now_s - self._last_chunk_s) / tokens)
        self._last_chunk_s = now_s

    def end(self, reason: str) -> None:
        """The generation is over; later calls change nothing."""
        if self._is_over:
            return
        self._is_over = True
        later_tokens = self._tokens - self._first_tokens
        if later_tokens > 0:
            duration_s = self._last_token_s - self._first_token_s
            self._metrics.per_token.observe(duration_s / later_tokens)
        self._record_phases(time.perf_counter())
        self._set_attributes(reason)

    def _record_phases(self, end_s: float) -> None:
        """The last phase that was reached lasts until the end."""
        starts = (self._submitted_s, self._scheduled_s, self._first_token_s)
        reached = [start_s for start_s in starts if not math.isnan(start_s)]
        ends = [*reached[1:], end_s]
        names = ("queue", "prefill", "decode")
        for name, start_s, phase_end_s in zip(names, reached, ends, strict=False):
            self._stream.record_phase(name, start_s, phase_end_s)

    def _set_attributes(self, reason: str) -> None:
        attributes: dict[str, int | float | list[str]] = {
            "gen_ai.usage.input_tokens": self._prompt_tokens,
            "gen_ai.usage.output_tokens": self._tokens,
            "gen_ai.response.finish_reasons": [reason],
        }
        if not math.isnan(self._first_token_s):
            first_token_s = self._first_token_s - self._stream.arrival_s
            attributes["gen_ai.server.time_to_first_token"] = first_token_s
        if self._cached_tokens:
            attributes["gen_ai.usage.cache_read.input_tokens"] = self._cached_tokens
        self._stream.set_attributes(attributes)
