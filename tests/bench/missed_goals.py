"""Why goals are missed, with the figures of the run."""

import statistics
from collections.abc import Iterator

from tests.bench.goals import GOAL_STREAMS, LLM_SHARE, at_same_arrivals, ratio
from tests.bench.results import BARE, OURS, Results, pick


def explanations(results: Results) -> Iterator[str]:
    """A paragraph for each goal that has one."""
    yield from _limit(results)
    yield from _tails(results)
    yield from _around_the_llm(results)


def _limit(results: Results) -> Iterator[str]:
    """Against BentoML: what the bare engines reach, which is the most that speed can do."""
    at_goal = pick(results.measured("rag"), workload="rag", clients=8)
    bare, ours = ratio(at_goal, BARE, "bentoml"), ratio(at_goal, OURS, BARE)
    if bare is None or ours is None:
        return
    yield (
        f"The bare engines in one process, without a server, answer {bare:.2f} × BentoML's "
        "questions over 10 new documents: the encoders are nearly all of the work, and they run "
        f"the same instructions on the same cores in both. `rag` reaches {ours:.2f} × the bare "
        f"engines. More is possible only where nothing is computed twice{_kept(results)}.\n"
    )


def _kept(results: Results) -> str:
    found = ratio(results.measured("same-documents"), OURS, "bentoml")
    return f": {found:.2f} × BentoML over the same documents again" if found else ""


def _tails(results: Results) -> Iterator[str]:
    """p99 ÷ p50 favours slow servers: so both percentiles of ours under a peer's arrivals."""
    found = [text for name in ("embed", "rerank", "rag") if (text := _same(results, name))]
    if found:
        yield (
            "A slow median makes p99 ÷ p50 small. With the same arrivals as the fastest peer, ours "
            f"has {'; '.join(found)}.\n"
        )


def _same(results: Results, workload: str) -> str:
    pair = at_same_arrivals(results, workload)
    own, theirs = (one.latency() for one in pair) if pair else (None, None)
    if not pair or not own or not theirs:
        return ""
    p50, p99 = own.p50 / theirs.p50, own.p99 / theirs.p99
    return f"in `{workload}` {p50:.2f} × the p50 and {p99:.2f} × the p99 of {pair[1].point.variant}"


def _around_the_llm(results: Results) -> Iterator[str]:
    """What surrounds the engine costs the same for a token, whatever the engine takes."""
    measured = pick(results.measured("llm"), workload="llm", clients=GOAL_STREAMS)
    found = [one for name in (BARE, OURS) for one in pick(measured, variant=name)]
    rates = [one.work_per_s.median for one in found]
    if len(rates) != 2 or not all(rates) or rates[1] / rates[0] >= LLM_SHARE:
        return
    alone, served = (1e6 / rate for rate in rates)
    client = served * statistics.median(repeat.client_cpu for repeat in found[1].repeats)
    yield (
        f"With {GOAL_STREAMS} streams the bare engine takes {alone:,.0f} µs for a token, the "
        f"server {served:,.0f} µs: {served - alone:,.0f} µs for Triton, streaming, the client. The "
        f"client takes {client:,.0f} µs of processor time.\n"
    )
