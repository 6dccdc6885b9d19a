"""Outcomes as figures with 95 % intervals."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from triton_rag.evaluation.outcomes import Outcome

Z = 1.959964
"""Half of a 95 % interval, in standard errors."""
DEPTHS = (1, 3, 10)
MRR, DEEPEST = "MRR@10", 10

ORDERS = {
    "as served": "served_rank",
    "by similarity": "similarity_rank",
    "by relevance": "relevance_rank",
}
"""Orders of the same passages, and the field of `Outcome` with the rank in each."""
COLLECTION_ORDERS = {
    "by similarity": "similarity_rank",
    "by words": "words_rank",
    "fused": "fused_rank",
    "by relevance": "relevance_rank",
    "as served": "served_rank",
}
"""Orders of a search in a collection, one per stage; `fused` is similarity and words together."""


@dataclass(frozen=True)
class Figure:
    """A share or a mean over `count` questions, 0 to 1, with its 95 % interval."""

    value: float
    low: float
    high: float
    count: int


@dataclass(frozen=True)
class Figures:
    """The figures of one split.

    `retrieval` has a row for each of the orders. `right` and `refused_wrongly` are shares of the
    answerable questions, `cited_right` of the right answers, `refused_rightly` of the unanswerable
    questions.
    """

    answerable: int
    unanswerable: int
    errors: int
    retrieval: dict[str, dict[str, Figure]]
    right: Figure
    cited_right: Figure
    refused_wrongly: Figure
    refused_rightly: Figure
    p50_s: float
    p99_s: float


def figures(outcomes: Sequence[Outcome], orders: Mapping[str, str] = ORDERS) -> Figures:
    told = [outcome for outcome in outcomes if outcome.question.is_answerable]
    rest = [outcome for outcome in outcomes if not outcome.question.is_answerable]
    times_s = sorted(outcome.seconds for outcome in outcomes if not outcome.error)
    return Figures(
        answerable=len(told),
        unanswerable=len(rest),
        errors=sum(bool(outcome.error) for outcome in outcomes),
        retrieval={order: _retrieval(told, name) for order, name in orders.items()},
        right=share([outcome.is_right for outcome in told]),
        cited_right=share([outcome.is_cited_right for outcome in told if outcome.is_right]),
        refused_wrongly=share([outcome.is_refused for outcome in told]),
        refused_rightly=share([outcome.is_refused for outcome in rest]),
        p50_s=percentile(times_s, 0.5),
        p99_s=percentile(times_s, 0.99),
    )


def _retrieval(told: Sequence[Outcome], rank_name: str) -> dict[str, Figure]:
    ranks = [getattr(outcome, rank_name) or math.inf for outcome in told]
    recalls = {f"recall@{k}": share([rank <= k for rank in ranks]) for k in DEPTHS}
    reciprocal = [1 / rank if rank <= DEEPEST else 0.0 for rank in ranks]
    return {**recalls, MRR: mean(reciprocal)}


def share(hits: Sequence[bool]) -> Figure:
    """A proportion with Wilson's interval."""
    low, high = wilson(sum(hits), len(hits))
    return Figure(sum(hits) / len(hits) if hits else 0.0, low, high, len(hits))


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Wilson's score interval of a proportion at 95 %; 0 to 1 where nothing was counted."""
    if count == 0:
        return 0.0, 1.0
    observed, weight = hits / count, Z * Z / count
    middle = (observed + weight / 2) / (1 + weight)
    spread = math.sqrt(observed * (1 - observed) * weight + weight * weight / 4) / (1 + weight)
    return max(0.0, middle - spread), min(1.0, middle + spread)


def mean(values: Sequence[float]) -> Figure:
    """A mean of values from 0 to 1 with the normal interval; 0 to 1 for fewer than two values."""
    count = len(values)
    middle = sum(values) / count if count else 0.0
    if count < 2:
        return Figure(middle, 0.0, 1.0, count)
    variance = sum((value - middle) ** 2 for value in values) / (count - 1)
    spread = Z * math.sqrt(variance / count)
    return Figure(middle, max(0.0, middle - spread), min(1.0, middle + spread), count)


def percentile(ordered: Sequence[float], part: float) -> float:
    """The percentile of sorted values by the nearest-rank method; 0 without values."""
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)] if ordered else 0.0
