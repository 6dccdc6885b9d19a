"""What is tried for each workload: the values of a placement that decide speed, within bounds.

Left alone are values that decide more than speed: precision and engine (numbers), KV memory, queue
sizes and `max_batch_size`, which is also the rows that one request may have (what is accepted),
prefix caching and the response cache (what traffic repeats).
"""

import itertools
from collections.abc import Callable, Iterator, Sequence

from builders.spec import Sku
from builders.tune.change import Change, Changes, effective, value
from builders.tune.objective import Workload

QUEUE_DELAYS_US = (0, 3000, 300, 10_000)
COMPUTE_ROWS = (64, 16, 128, 8)
LENGTH_STEPS = (16, 4, 32, 1)
RUNNING_REQUESTS = (8, 64, 16, 4)
RUNNING_GRAPHS = (4, 2, 8)
STEP_TOKENS = (256, 1024, 128, 2048)

Knob = list[Changes]
"""Alternatives for one thing, most promising first. One may change what belongs together."""


def moves(workload: Workload, sku: Sku, cores: int) -> tuple[Changes, ...]:
    """What is tried: the first alternative of each knob, then the second of each, and so on, so
    that little time is not all spent on one.

    `cores` bounds instances and threads.
    """
    knobs = _BY_WORKLOAD[workload](sku, cores)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*knobs))
    found = (tuple(sorted(move)) for move in turns if move)
    return tuple(dict.fromkeys(move for move in found if effective(sku, move)))


def _encoder(model: str, tokenizer: str, sku: Sku, cores: int) -> Iterator[Knob]:
    yield _instances_and_threads(sku, model, cores)
    yield _values(sku, model, "max_queue_delay_us", QUEUE_DELAYS_US)
    yield _values(sku, model, "max_compute_rows", COMPUTE_ROWS)
    yield _values(sku, model, "length_step", LENGTH_STEPS)
    yield _one_more_instance(sku, tokenizer, cores)


def _embed(sku: Sku, cores: int) -> Iterator[Knob]:
    return _encoder("embedder", "tokenizer", sku, cores)


def _rerank(sku: Sku, cores: int) -> Iterator[Knob]:
    return _encoder("reranker", "pair_tokenizer", sku, cores)


def _llm(sku: Sku, cores: int) -> Iterator[Knob]:
    yield _values(sku, "llm", "num_threads", _threads(cores))
    yield _values(sku, "llm", "max_running_requests", RUNNING_REQUESTS)
    kv_tokens = value(sku, "llm", "kv_cache_tokens")
    steps = [n for n in STEP_TOKENS if not isinstance(kv_tokens, int) or n <= kv_tokens]
    yield _values(sku, "llm", "max_step_tokens", steps)


def _rag(sku: Sku, cores: int) -> Iterator[Knob]:
    """Three engines share the cores here, which their own workloads don't show."""
    for model in ("embedder", "reranker", "llm"):
        if sku.place(model).device == "cpu":
            yield _values(sku, model, "num_threads", _threads(cores))
    yield _values(sku, "rag_cancellable", "max_running_requests", RUNNING_GRAPHS)
    for model in ("passage_splitter", "tokenizer", "pair_tokenizer"):
        yield _one_more_instance(sku, model, cores)
    for model in ("embedder", "reranker"):
        yield _values(sku, model, "max_queue_delay_us", QUEUE_DELAYS_US)


_BY_WORKLOAD: dict[Workload, Callable[[Sku, int], Iterator[Knob]]] = {
    "embed": _embed,
    "rerank": _rerank,
    "llm": _llm,
    "rag": _rag,
}


def _values(sku: Sku, model: str, key: str, values: Sequence[int]) -> Knob:
    """None where the placement does not have the key: the stage may not either."""
    known = value(sku, model, key) is not None
    return [(Change(model, key, v),) for v in values if known]


def _threads(cores: int) -> list[int]:
    """Half of the cores, one, and all (0), where it is less now."""
    return list(dict.fromkeys([max(1, cores // 2), 1, 0])) if cores > 1 else []


def _instances_and_threads(sku: Sku, model: str, cores: int) -> Knob:
    """Cores shared out: two instances of half, one a core, two that overlap, one of half or all."""
    if sku.place(model).device == "gpu":  # threads of the CPU decide nothing there
        return [(Change(model, "instances", 2),)]
    half = max(1, cores // 2)
    pairs = [(2, half), (cores, 1), (2, 0), (1, half), (1, 0)] if cores > 1 else []
    return [(Change(model, "instances", i), Change(model, "num_threads", t)) for i, t in pairs]


def _one_more_instance(sku: Sku, model: str, cores: int) -> Knob:
    now = sku.place(model).instances
    return [(Change(model, "instances", now + 1),)] if now < cores else []
