"""Why goals are missed where they are, said with the figures of the run."""

from collections.abc import Iterator

from tests.bench.goals import PEER_SHARE, busiest_peer, ratio
from tests.bench.results import BARE, OURS, Results, pick


def reasons(results: Results) -> Iterator[str]:
    """A paragraph for each goal that has one."""
    yield from _limit(results)
    yield from _tails(results)


def _limit(results: Results) -> Iterator[str]:
    """The goal against BentoML can't be met by speed: what the bare engines do of it."""
    at_goal = pick(results.measured("rag"), workload="rag", clients=8)
    bare, ours = ratio(at_goal, BARE, "bentoml"), ratio(at_goal, OURS, BARE)
    if bare is None or ours is None:
        return
    yield (
        f"The bare engines in one process, without any server, do {bare:.2f} × BentoML's questions "
        f"over 10 documents that nobody has seen: the two encoders are nearly all of the work, on "
        f"both sides with the same instructions of the same cores. `rag` reaches {ours:.2f} × "
        "that. More than the engines can do is only to be had by not computing again"
        f"{_kept(results)}.\n"
    )


def _kept(results: Results) -> str:
    found = ratio(results.measured("same-documents"), OURS, "bentoml")
    return f": {found:.2f} × BentoML over documents that come again" if found else ""


def _tails(results: Results) -> Iterator[str]:
    """p99 ÷ p50 flatters who is slow: both percentiles of ours under a peer's arrivals."""
    found = [text for name in ("embed", "rerank", "rag") if (text := _same(results, name))]
    if found:
        yield (
            "p99 ÷ p50 is small where the median is slow too: ours lets a request that finds the "
            "server idle pass at once, and its p99 are those that found it busy. Sent the very "
            f"arrivals of the fastest peer, ours had {'; '.join(found)}.\n"
        )


def _same(results: Results, workload: str) -> str:
    measured = pick(results.measured("open"), workload=workload, load="open")
    peer = busiest_peer(pick(measured, share=PEER_SHARE))
    ours = pick(measured, variant=OURS, rate_per_s=peer.point.rate_per_s) if peer else []
    if not peer or not ours or not (theirs := peer.latency()) or not (own := ours[0].latency()):
        return ""
    p50, p99 = own.p50 / theirs.p50, own.p99 / theirs.p99
    return f"in `{workload}` {p50:.2f} × the p50 and {p99:.2f} × the p99 of {peer.point.variant}"
