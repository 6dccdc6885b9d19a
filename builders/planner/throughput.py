"""Tokens per second, time to first token and gap between tokens, for a steady workload."""

import bisect
from dataclasses import dataclass, replace

from builders.planner.llm_cost import Deployment, Load, iteration_s

UTILISATION = 0.65
"""Share of the largest throughput at which a service is planned to run: above it, waiting grows
faster than throughput."""


@dataclass(frozen=True)
class Workload:
    """Tokens of a typical request, and how many requests are in flight; None: not given."""

    input_tokens: int
    output_tokens: int
    concurrency: int | None = None

    @property
    def tokens(self) -> int:
        """Prompt and answer of one request."""
        return self.input_tokens + self.output_tokens


@dataclass(frozen=True)
class Performance:
    """What clients see while `concurrency` requests are in flight all the time."""

    concurrency: int
    output_tokens_per_s: float
    ttft_ms: float
    itl_ms: float


def steady_load(on: Deployment, workload: Workload, concurrency: int) -> Load:
    """An iteration of one pipeline stage, if another request follows every finished one at once."""
    sequences = concurrency / on.pp
    return Load(
        sequences=sequences,
        context_tokens=workload.input_tokens + workload.output_tokens / 2,
        prompt_tokens=sequences * workload.input_tokens / workload.output_tokens,
        prompt_context_tokens=workload.input_tokens / 2,
    )


def performance(
    on: Deployment, workload: Workload, concurrency: int, max_num_tokens: int
) -> Performance:
    """Performance in the steady state. A prompt waits for half an iteration, then is computed in
    iterations that also decode."""
    load = steady_load(on, workload, concurrency)
    stage = iteration_s(on, load)
    chunk = min(workload.input_tokens, max_num_tokens)
    chunks = workload.input_tokens / chunk
    first = iteration_s(on, replace(load, prompt_tokens=chunk))
    return Performance(
        concurrency=concurrency,
        output_tokens_per_s=load.sequences / stage,
        ttft_ms=1e3 * (on.pp * first * chunks + stage / 2),
        itl_ms=1e3 * on.pp * stage,
    )


def longest_gap_ms(
    on: Deployment, workload: Workload, concurrency: int, max_num_tokens: int
) -> float:
    """The gap between two tokens of a stream while prompts fill iterations to `max_num_tokens`."""
    load = steady_load(on, workload, concurrency)
    full = replace(load, prompt_tokens=max(0.0, max_num_tokens - load.sequences))
    return 1e3 * on.pp * iteration_s(on, full)


def concurrency_at(
    share: float, on: Deployment, workload: Workload, most: int, max_num_tokens: int
) -> int:
    """The fewest requests in flight that reach `share` of the throughput of `most`."""

    def rate(concurrency: int) -> float:
        return performance(on, workload, concurrency, max_num_tokens).output_tokens_per_s

    return 1 + bisect.bisect_left(range(1, most + 1), share * rate(most), key=rate)
