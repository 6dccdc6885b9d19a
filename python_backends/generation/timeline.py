"""When one generation got where, and the metrics of `llm` that follow from it.

All methods are called on the engine's thread, which pays for them: they only take notes.
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
from python_backends.engines import EngineStats
from python_backends.stage import Meter, Stream


class LlmMetrics:
    """The series of one `llm`, made once."""

    def __init__(self, meter: Meter) -> None:
        self.first_token = meter.histogram(TIME_TO_FIRST_TOKEN)
        self.per_token = meter.histogram(TIME_PER_OUTPUT_TOKEN)
        self.inter_token = meter.histogram(INTER_TOKEN)
        self.input = meter.counter(TOKENS, type="input")
        self.output = meter.counter(TOKENS, type="output")
        self.cached = meter.counter(TOKENS, type="cached")


class EngineMetrics:
    """`EngineStats` as metrics."""

    def __init__(self, meter: Meter) -> None:
        self._running, self._waiting = meter.gauge(RUNNING), meter.gauge(WAITING)
        self._kv = meter.gauge(KV_CACHE_USED)
        self._iterations = meter.counter(ITERATIONS)
        self._iteration_requests = meter.counter(ITERATION_REQUESTS)
        self._last = EngineStats(0, 0, 0.0)

    def show(self, stats: EngineStats) -> None:
        """Show what is so now, and count what was done since the last time."""
        self._running.set(stats.running)
        self._waiting.set(stats.waiting)
        if not math.isnan(stats.kv_cache_used):
            self._kv.set(stats.kv_cache_used)
        self._iterations.increment(stats.iterations - self._last.iterations)
        self._iteration_requests.increment(stats.iteration_requests - self._last.iteration_requests)
        self._last = stats


class Timeline:
    """One generation: queue, prefill, decode; a part in which it ended counts up to its end."""

    def __init__(self, stream: Stream, prompt_tokens: int, metrics: LlmMetrics) -> None:
        self._stream, self._metrics = stream, metrics
        self._prompt_tokens = prompt_tokens
        self._submitted_s = time.perf_counter()
        self._joined_s = self._first_s = self._last_s = self._chunk_s = math.nan
        self._first_tokens = self._tokens = self._cached_tokens = 0
        self._is_over = False
        stream.part("tokenize", stream.arrival_s, self._submitted_s)

    def joined(self) -> None:
        """The request has joined the engine's batch."""
        self._joined_s = time.perf_counter()

    def computed(self, tokens: int, cached_tokens: int) -> None:
        """The engine handed over so many new tokens."""
        if not tokens:
            return
        self._last_s = time.perf_counter()
        if math.isnan(self._first_s):
            self._first_s, self._first_tokens = self._last_s, tokens
            self._cached_tokens = cached_tokens
            self._metrics.first_token.observe(self._first_s - self._stream.arrival_s)
            self._metrics.input.increment(self._prompt_tokens)
            self._metrics.cached.increment(cached_tokens)

    def counted(self, tokens: int) -> None:
        """So many of them belong to the answer."""
        self._tokens += tokens
        self._metrics.output.increment(tokens)

    def chunk(self, tokens: int) -> None:
        """A chunk of so many tokens goes out."""
        now_s = time.perf_counter()
        if tokens and not math.isnan(self._chunk_s):
            self._metrics.inter_token.observe((now_s - self._chunk_s) / tokens)
        self._chunk_s = now_s

    def end(self, reason: str) -> None:
        """The generation is over; later calls change nothing."""
        if self._is_over:
            return
        self._is_over = True
        tokens_behind = self._tokens - self._first_tokens
        if tokens_behind > 0:
            self._metrics.per_token.observe((self._last_s - self._first_s) / tokens_behind)
        self._tell_parts(time.perf_counter())
        self._describe(reason)

    def _tell_parts(self, end_s: float) -> None:
        """Marks that were not reached give no part."""
        marks = (self._submitted_s, self._joined_s, self._first_s)
        reached = [mark for mark in marks if not math.isnan(mark)]
        for name, start_s, until_s in zip(
            ("queue", "prefill", "decode"), reached, [*reached[1:], end_s], strict=False
        ):
            self._stream.part(name, start_s, until_s)

    def _describe(self, reason: str) -> None:
        found: dict[str, int | float | list[str]] = {
            "gen_ai.usage.input_tokens": self._prompt_tokens,
            "gen_ai.usage.output_tokens": self._tokens,
            "gen_ai.response.finish_reasons": [reason],
        }
        if not math.isnan(self._first_s):
            found["gen_ai.server.time_to_first_token"] = self._first_s - self._stream.arrival_s
        if self._cached_tokens:
            found["gen_ai.usage.cache_read.input_tokens"] = self._cached_tokens
        self._stream.describe(found)
