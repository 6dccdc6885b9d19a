"""Stages that are slow, raise, or give what they must not: for one request, beside good ones."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.chaos import repositories, requests
from tests.chaos.judging import judge
from tests.chaos.requests import Request
from tests.chaos.scenario import Finding, Scenario
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Outcome

_SECRET = "for the log only"
_FAULTS = {
    "raises": ("quartz", "dragon", "raises"),
    "shape": ("marble", "wizard", "gives a wrong shape"),
    "nothing": ("velvet", "pirate", "gives nothing"),
}
"""Words that the encoders' shims look for, and `prompt_builder`'s, which the encoders read too."""


def scenarios() -> Iterator[Scenario]:
    """Words of a request choose the fault, so that its neighbours can be told apart."""
    for name, (word, question_word, what) in _FAULTS.items():
        done = f"`prompt_builder`'s stage {what} for one request among good ones"
        yield Scenario(f"stage-{name}", done, _run([requests.rag_about(question_word)]))
        for model, request in (("embedder", _embed(word)), ("reranker", _rerank(word))):
            done = f"`{model}`'s engine {what} for one request in a batch with good ones"
            yield Scenario(f"{model}-{name}", done, _run([request], is_batch=True))
    for model, request in (("embedder", _embed("copper")), ("reranker", _rerank("copper"))):
        done = f"`{model}`'s engine gives NaN for one request in a batch with good ones"
        yield Scenario(f"{model}-nan", done, _run([request], is_batch=True))
    for name, word in (("raises", "quartz"), ("bad-ids", "marble"), ("nothing", "velvet"),
                       ("error", "copper")):  # fmt: skip
        done = f"`llm`: {name} for one stream, after its third token or at once, beside others"
        yield Scenario(f"llm-{name}", done, _run([requests.llm(f"alpha {word}", 200)]))
    yield Scenario(
        "stage-slow", "`prompt_builder` sleeps 2 s on one request among good ones", _run_slow
    )


def _embed(word: str) -> Request:
    return Request("embed", (requests.text("input_text", f"a word: {word}"),))


def _rerank(word: str) -> Request:
    return Request(
        "rerank", (requests.text("query", word), requests.text("passages", "one", "two"))
    )


def _broken(site: Site) -> Running:
    """The server over the broken repository, kept for all these scenarios."""
    return site.kept("broken", make_repository)


def make_repository() -> Path:
    """A repository whose stages fail on certain words."""
    repository = repositories.copy("broken")
    for model in ("embedder", "reranker", "prompt_builder", "llm"):
        repositories.break_stage(repository, model)
    return repository


def _run(bad: Sequence[Request], is_batch: bool = False) -> Callable[[Site], Finding]:
    def run(site: Site) -> Finding:
        running = _broken(site)
        before, fault_at = running.warm_use(), time.monotonic()
        good = _neighbours(running, bad[0].model)
        # A slow request first: what comes meanwhile waits, and is answered in one batch.
        first = [_embed("walnut") if bad[0].model == "embed" else _rerank("walnut")]
        outcomes = running.send([*(first if is_batch else ()), *good[:5], *bad, *good[5:]], 16)
        mine = [outcome for outcome in outcomes if outcome.request in bad]
        others = [outcome for outcome in outcomes if outcome.request in good]
        found = judge(running, before, [*others, *mine], fault_at)
        return found.with_faults(*_promises(running, mine, others))

    return run


def _neighbours(running: Running, model: str) -> list[Request]:
    return [request for request in running.small if request.model == model] * 2


def _promises(
    running: Running, mine: Sequence[Outcome], others: Sequence[Outcome]
) -> Iterator[str]:
    """An error for that request alone, without our words for the log."""
    for outcome in mine:
        if outcome.end != "error":
            yield f"the faulty request ended with: {outcome.end}"
        if _SECRET in outcome.error or "Traceback" in outcome.error:
            yield "the error tells the client what is for the log"
    if harmed := [outcome for outcome in others if not running.oracle.is_right(outcome)]:
        ends = {f"{outcome.end} {outcome.error}".strip() for outcome in harmed}
        yield f"{len(harmed)} of {len(others)} neighbours were harmed: {'; '.join(ends)}"


def _run_slow(site: Site) -> Finding:
    running = _broken(site)
    before, fault_at = running.warm_use(), time.monotonic()
    good = _neighbours(running, "rag_cancellable")
    slow = requests.rag_about("sailor")
    outcomes = running.send([slow, *good], 16)
    found = judge(running, before, outcomes[1:], fault_at)
    right = all(running.oracle.is_right(outcome) for outcome in outcomes[1:])
    late_s = max(outcome.elapsed_s for outcome in outcomes[1:])
    if not right or outcomes[0].end != "answer" or late_s > 2.0 + 5.0:
        found = found.with_faults(f"neighbours right: {right}, the last after {late_s:.1f} s")
    return found
