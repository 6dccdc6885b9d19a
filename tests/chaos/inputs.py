"""Requests at the edges of what can be asked."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from tests.chaos import requests
from tests.chaos.judging import judge
from tests.chaos.requests import Request, number, text
from tests.chaos.scenario import Finding, Scenario, brief
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Outcome
from tests.chaos.wire import Tensor

LONG = "release port alpha gamma " * 25_000
"""100,000 words, each a token at least."""
TEXT = "café 漢字 🙂 नमस्ते 👩‍👩‍👧 Ω"


def scenarios() -> Iterator[Scenario]:
    """Each request gets its own answer, or an error that says what is wrong with it."""
    yield Scenario("no-prompt", "empty prompts, questions and texts to every entry", _empty)
    yield Scenario(
        "100k-tokens",
        "100,000 words to every entry (documents: twice as many), beside others",
        _long,
    )
    yield Scenario("unicode", "emoji, CJK and Devanagari cut at every byte, to 3 entries", _unicode)
    yield Scenario(
        "unicode-streams", "sampled streams of any tokens (temperature 100)", _unicode_streams
    )
    yield Scenario("same-id", "12 different requests at once, all with one id", _same_id)
    yield Scenario("deadline", "deadlines of 1 to 200 ms on `rag_cancellable`", _deadline)


def _empty(site: Site) -> Finding:
    documents = text("documents", "One.", "Two.")
    to_send = [
        Request("llm", (text("text_input", ""),)),
        Request("ensemble", requests.ensemble("").tensors),
        *(Request(m, (text("question", ""), documents)) for m in ("rag", "rag_cancellable")),
        Request("retrieve", (text("question", ""), documents)),
        Request("rerank", (text("query", ""), text("passages", "one"))),
    ]
    return _refused(site, to_send)


def _long(site: Site) -> Finding:
    documents = text("documents", "One.", "Two.")
    to_send = [
        Request("llm", (text("text_input", LONG),)),
        Request("ensemble", requests.ensemble(LONG).tensors),
        Request("rag_cancellable", (text("question", LONG), documents)),
        Request("rag_cancellable", (text("question", "Which?"), text("documents", LONG, LONG))),
    ]
    return _refused(site, to_send)


def _refused(site: Site, to_send: Sequence[Request]) -> Finding:
    """All of them, by a code of the client's fault; the good ones beside them are answered."""
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    outcomes = running.send([*to_send, *running.small[:14]])
    found = judge(running, before, outcomes, fault_at)
    return found.with_faults(
        *_not_refused(outcomes[: len(to_send)]), *_not_right(running, outcomes[len(to_send) :])
    )


def _not_refused(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if outcome.end != "error" or "INVALID_ARG: " not in outcome.error:
            yield f"{outcome.request.model}: {outcome.end} {brief(outcome.error)}, not INVALID_ARG"


def _not_right(running: Running, outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        if not running.oracle.is_right(outcome):
            yield f"{outcome.request.model}: {outcome.end} {brief(outcome.error)}, not its answer"


def _unicode(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    raw = TEXT.encode()
    pieces = [part for n in range(1, len(raw)) for part in (raw[:n], raw[n:])]
    outcomes = running.send([request for piece in pieces for request in _requests_of(piece)])
    found = judge(running, before, outcomes, fault_at)
    return found.with_faults(*dict.fromkeys(_unicode_faults(outcomes)))


def _requests_of(piece: bytes) -> Iterator[Request]:
    yield Request("embed", (text("input_text", piece),))
    yield Request("rerank", (text("query", b"q" + piece), text("passages", b"p" + piece)))
    yield Request("llm", (text("text_input", b"q" + piece), number("max_tokens", 2)))


def _unicode_faults(outcomes: Sequence[Outcome]) -> Iterator[str]:
    for outcome in outcomes:
        is_valid = _is_utf8(outcome.request.tensors[0].values[0])
        if is_valid and outcome.end != "answer":
            yield f"{outcome.request.model}: valid UTF-8 got {brief(outcome.error)}"
        if not is_valid and not ("UTF-8" in outcome.error and "INVALID_ARG" in outcome.error):
            yield f"{outcome.request.model}: broken UTF-8 got {outcome.end} {brief(outcome.error)}"


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unicode_streams(site: Site) -> Finding:
    """Pieces are decoded one by one, so a character cut in two would be an error here."""
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    streams = [_sampled(seed, stream=True) for seed in range(16)]
    wholes = [_sampled(seed, stream=False) for seed in range(16)]
    outcomes = running.send([*streams, *wholes])
    found = judge(running, before, outcomes, fault_at)
    differ = [
        seed
        for seed in range(16)
        if outcomes[seed].end != "answer" or outcomes[seed].reply != outcomes[16 + seed].reply
    ]
    return found.with_faults(f"streams of seeds {differ} differ") if differ else found


def _sampled(seed: int, stream: bool) -> Request:
    request = requests.llm("漢字 🙂", 200, stream)
    sampling = (Tensor("temperature", "FP32", (100.0,)), Tensor("seed", "UINT64", (seed,)))
    return replace(request, tensors=request.tensors + sampling)


def _same_id(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    to_send = [*running.streams("llm")[:4], *running.streams("rag_cancellable"), *running.small[:8]]
    twins = [replace(request, request_id="one-id-for-all") for request in to_send]
    outcomes = [
        replace(outcome, request=request)
        for outcome, request in zip(running.send(twins, 16), to_send, strict=True)
    ]
    found = judge(running, before, outcomes, fault_at)
    return found.with_faults(*_not_right(running, outcomes))


def _deadline(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    to_send = running.streams("rag_cancellable")
    late = [replace(request, timeout_s=s) for s in (0.001, 0.01, 0.05, 0.2) for request in to_send]
    sent = running.send(late, 4)
    outcomes = [replace(o, request=replace(o.request, timeout_s=None)) for o in sent]
    found = judge(running, before, outcomes, fault_at)
    slow = max(
        outcome.elapsed_s - (request.timeout_s or 0)
        for outcome, request in zip(sent, late, strict=True)
    )
    words = {
        brief(o.error) for o in sent if o.end != "error" or "CANCELLED: timeout" not in o.error
    }
    late_faults = (f"ended {slow:.1f} s behind the deadline",) if slow > 3 else ()
    other = (f"ended otherwise: {words}",) if words else ()
    return found.with_faults(*late_faults, *other)
