"""The goals of the benchmark, and whether the results reach them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tests.bench.results import BARE, CANCELLABLE, OURS, Measured, Results, pick

PEER_SHARE = 0.7
"""The share of its own capacity at which every variant is measured in the open loop."""

GOAL_STREAMS, LLM_SHARE = 8, 0.95
"""So many streams must reach this share of the bare LLM engine's tokens a second."""

NOT_PEERS = (OURS, CANCELLABLE, BARE)
MODELS = {OURS: "`rag`", CANCELLABLE: "`rag_cancellable`"}


@dataclass(frozen=True)
class Goal:
    """One line: what, how much is needed, how much was found (None: not measured)."""

    what: str
    needed: float
    found: float | None
    evidence: str
    """The section that the figures come from."""
    is_upper_limit: bool = False
    """`needed` is the most that is allowed; otherwise it is the least."""

    @property
    def verdict(self) -> str:
        """Met, missed or not measured, by the two decimals that the page shows."""
        if self.found is None:
            return "not measured"
        found, needed = round(self.found, 2), round(self.needed, 2)
        is_met = found <= needed if self.is_upper_limit else found >= needed
        return "met" if is_met else "**missed**"


def goals(results: Results) -> list[Goal]:
    """All goals, also those without figures."""
    return [
        *(_saturation(results, name) for name in ("embed", "rerank")),
        *_rag(results, "rag", "10 documents"),
        *_rag(results, "collection", "the sample collection"),
        *(goal for name in ("embed", "rerank", "rag") for goal in _tail(results, name)),
        *(_slowest(results, name) for name in ("embed", "rerank", "rag")),
        _llm(results),
    ]


def peers_of(measured: Sequence[Measured]) -> list[Measured]:
    """Other servers and libraries."""
    return [one for one in measured if one.point.variant not in NOT_PEERS]


def ratio(measured: Sequence[Measured], variant: str, base: str) -> float | None:
    """The ratio of median throughputs; None when one is missing or has no work."""
    found, bases = pick(measured, variant=variant), pick(measured, variant=base)
    if not found or not bases or not bases[0].work_per_s.median:
        return None
    return found[0].work_per_s.median / bases[0].work_per_s.median


def best_peer(measured: Sequence[Measured]) -> Measured | None:
    """The peer with the highest throughput."""
    return max(peers_of(measured), key=lambda one: one.work_per_s.median, default=None)


def fastest_peer(measured: Sequence[Measured]) -> Measured | None:
    """The peer with the highest capacity: in the open loop it was sent most."""
    return max(peers_of(measured), key=lambda one: one.point.rate_per_s, default=None)


def peer_with_shortest_tail(measured: Sequence[Measured]) -> Measured | None:
    """The peer with the lowest p99 / p50 among those that answered every request."""
    without_loss = [one for one in peers_of(measured) if not one.unanswered and one.latency()]
    return min(without_loss, key=tail_ratio, default=None)


def tail_ratio(one: Measured) -> float:
    """p99 / p50 of latency."""
    found = one.latency()
    return found.tail if found else float("inf")


def _saturation(results: Results, workload: str) -> Goal:
    measured = pick(results.measured("saturation"), workload=workload)
    found = ratio(measured, OURS, BARE)
    return Goal(f"`{workload}` at saturation, × bare engine", 0.95, found, "saturation")


def _llm(results: Results) -> Goal:
    measured = pick(results.measured("llm"), workload="llm", clients=GOAL_STREAMS)
    found = ratio(measured, OURS, BARE)
    return Goal(f"`llm` at {GOAL_STREAMS} streams, × bare engine", LLM_SHARE, found, "llm")


def _rag(results: Results, section: str, over: str) -> Iterator[Goal]:
    measured = pick(results.measured(section), workload="rag", clients=8)
    best = best_peer(measured)
    for variant, model in MODELS.items():
        bento = ratio(measured, variant, "bentoml")
        yield Goal(f"{model} at 8 concurrent over {over}, × BentoML", 5.0, bento, section)
        to_best = ratio(measured, variant, best.point.variant) if best else None
        name = f"the best peer ({best.point.variant})" if best else "the best peer"
        yield Goal(f"{model} at 8 concurrent over {over}, × {name}", 1.0, to_best, section)


def _tail(results: Results, workload: str) -> Iterator[Goal]:
    """Against the fastest peer, and against the one with the shortest tail."""
    measured = pick(results.measured("open"), workload=workload, load="open", share=PEER_SHARE)
    ours = pick(measured, variant=OURS)
    name = f"`{workload}`, p99 ÷ p50 at 0.7 of its capacity"
    for kind, peer in (
        ("fastest", fastest_peer(measured)),
        ("shortest-tailed", peer_with_shortest_tail(measured)),
    ):
        if not ours or peer is None:
            yield Goal(f"{name}, {kind} peer's", 0.0, None, "open", is_upper_limit=True)
            continue
        what = f"{name}, {kind} peer's ({peer.point.variant})"
        yield Goal(what, tail_ratio(peer), tail_ratio(ours[0]), "open", is_upper_limit=True)


def at_same_arrivals(results: Results, workload: str) -> tuple[Measured, Measured] | None:
    """Ours and the fastest peer, under the very arrivals that the peer was measured with."""
    measured = pick(results.measured("open"), workload=workload, load="open")
    peer = fastest_peer(pick(measured, share=PEER_SHARE))
    ours = pick(measured, variant=OURS, rate_per_s=peer.point.rate_per_s) if peer else []
    return (ours[0], peer) if peer and ours else None


def _slowest(results: Results, workload: str) -> Goal:
    name = f"`{workload}`, p99 at the fastest peer's arrivals, × its p99"
    pair = at_same_arrivals(results, workload)
    if pair is None:
        return Goal(name, 1.0, None, "open", is_upper_limit=True)
    found, theirs = (one.latency() for one in pair)
    ratio = found.p99 / theirs.p99 if found and theirs else None
    return Goal(f"{name} ({pair[1].point.variant})", 1.0, ratio, "open", is_upper_limit=True)
