"""Why goals are missed where they are, said with the figures of the run."""

from collections.abc import Iterator

from tests.bench.goals import LLM_SHARE, at_same_arrivals, ratio
from tests.bench.results import BARE, OURS, Results, pick


def reasons(results: Results) -> Iterator[str]:
    """A paragraph for each goal that has one."""
    yield from _limit(results)
    yield from _tails(results)
    yield from _small_llm(results)


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
            "p99 ÷ p50 is small where the median is slow too. Sent the very arrivals of the "
            f"fastest peer, ours had {'; '.join(found)}.\n"
        )


def _same(results: Results, workload: str) -> str:
    pair = at_same_arrivals(results, workload)
    own, theirs = (one.latency() for one in pair) if pair else (None, None)
    if not pair or not own or not theirs:
        return ""
    p50, p99 = own.p50 / theirs.p50, own.p99 / theirs.p99
    return f"in `{workload}` {p50:.2f} × the p50 and {p99:.2f} × the p99 of {pair[1].point.variant}"


def _small_llm(results: Results) -> Iterator[str]:
    """What is around the engine costs the same by the token, whatever the engine takes for it."""
    small, large = (_at_goal(results, name) for name in ("llm", "llm-large"))
    if small is None or large is None or small[1] / small[0] >= LLM_SHARE:
        return
    alone, served = (1e6 / rate for rate in small)
    yield (
        f"With 16 streams of the reference LLM a token takes {alone:.0f} µs alone and {served:.0f} "
        f"µs served: {served - alone:.0f} µs for Triton, streaming and the client, which count "
        f"beside so small a model. With 85 M parameters a token takes {1e6 / large[0]:,.0f} µs.\n"
    )


def _at_goal(results: Results, name: str) -> tuple[float, float] | None:
    """Tokens a second with 16 streams: the bare engine's, and ours."""
    measured = pick(results.measured(name), workload=name, clients=16)
    rates = [one.work_per_s.median for v in (BARE, OURS) for one in pick(measured, variant=v)]
    return (rates[0], rates[1]) if len(rates) == 2 and all(rates) else None
