"""What becomes of figures: goals, page and plots, and that a fault costs nothing else."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import psutil
import pytest
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families

from ensembles.metrics import STAGE_DURATION
from python_backends.sentences import sentences
from tests.bench import first_token, measure, page, results
from tests.bench.__main__ import main
from tests.bench.goals import Goal, goals
from tests.bench.measure import Job, Load, Recorder
from tests.bench.missed_goals import explanations
from tests.bench.peer_process import tree
from tests.bench.plots import draw
from tests.bench.results import (
    BARE,
    CANCELLABLE,
    OURS,
    STREAMED,
    Fact,
    Measured,
    Point,
    Repeat,
    Results,
    SectionResult,
)
from tests.bench.services import Services, Variant
from tests.bench.time_by_model import Counters, report
from tests.fakes.serving import WAIT_S
from tests.load.loops import Window
from tests.load.records import Outcome, Record, Response
from tests.load.summary import summarize
from tests.load.workloads import Embed, Rag, Request, embeds, prompts, rags, reranks

PEERS = {"bentoml": 1.0, "mosec": 2.0}


def repeat(per_s: float, tail: float = 2.0, tokens: bool = False) -> Repeat:
    """Requests one after the other, the last one slow."""
    lasts = [1 / per_s] * 9 + [tail / per_s]
    records = []
    for latency in lasts:
        ends = [latency / 2, latency] if tokens else [latency]
        responses = tuple(Response(end, 1 / len(ends)) for end in ends)
        records.append(Record(0, 0, latency, responses, Outcome.OK))
    return Repeat(replace(summarize(records), work_per_s=per_s), 0.1)


def measured(variant: str, per_s: float, workload: str = "rag", **point: object) -> Measured:
    tail = float(point.pop("tail", 2.0))  # type: ignore[arg-type]
    made = Point(variant, workload, **point)  # type: ignore[arg-type]
    tokens = workload.startswith("llm")
    return Measured(made, tuple(repeat(per_s * f, tail, tokens) for f in (0.9, 1.0, 1.1)))


def section(name: str, *figures: Measured, complete: bool = True) -> SectionResult:
    facts = (Fact("memory of `llm`, MiB", 12.0),)
    return SectionResult(
        name, "2026-01-01 10:00", 3.0, "a machine", "abc", "3 repeats", ("torch 1",),
        "llm some-model (fp32)", figures, facts, ("ray_serve: no",), complete,
    )  # fmt: skip


@pytest.fixture
def found() -> Results:
    rag = [
        measured(name, rate, clients=clients, documents=10)
        for name, rate in ({OURS: 6.0} | PEERS).items()
        for clients in (1, 8)
    ]
    opened = [
        measured(name, rate, load="open", share=0.7, tail=tail, rate_per_s=rate)
        for name, rate, tail in ((OURS, 6.0, 2.0), ("bentoml", 4.0, 3.0), ("mosec", 2.0, 1.5))
    ]
    llm = [measured(name, rate, "llm", clients=8) for name, rate in ((OURS, 8), (BARE, 10))]
    streams = [measured(OURS, 8, "llm-stream", clients=clients) for clients in (1, 8, 200)]
    return Results((
        section("rag", *rag), section("open", *opened), section("llm", *llm, *streams),
        section("documents", measured(OURS, 1, documents=1), measured(OURS, 1, documents=10)),
        section("saturation", measured(OURS, 99, "embed"), measured(BARE, 100, "embed")),
        section("checks", complete=False),
    ))  # fmt: skip


def goal(found: Results, text: str) -> Goal:
    (one,) = [goal for goal in goals(found) if text in goal.what]
    return one


def test_goals_are_computed(found: Results) -> None:
    bento = goal(found, "`rag` at 8 concurrent over 10 documents, × BentoML")
    assert (bento.found, bento.verdict) == (pytest.approx(6.0), "met")
    best = goal(found, "`rag` at 8 concurrent over 10 documents, × the best")
    assert (best.found, best.verdict) == (pytest.approx(3.0), "met")
    assert "mosec" in best.what
    assert goal(found, "`embed` at saturation").verdict == "met"
    assert goal(found, "`llm` at 8 streams").verdict == "**missed**"


def test_the_clients_own_processor_time_is_told(found: Results) -> None:
    (text,) = (text for text in explanations(found) if "8 streams" in text)
    assert "125,000 µs: 25,000 µs for Triton, streaming, the client" in text
    assert "The client takes 12,500 µs of processor time" in text


@pytest.mark.parametrize(
    ("peer", "needed", "verdict"),
    [
        ("fastest peer's (bentoml)", 3.0, "met"),
        ("shortest-tailed peer's (mosec)", 1.5, "**missed**"),
    ],
)
def test_the_tail_is_held_against_two_peers(found: Results, peer, needed, verdict) -> None:
    tail = goal(found, f"`rag`, p99 ÷ p50 at 0.7 of its capacity, {peer}")
    assert tail.needed == pytest.approx(needed)
    assert tail.found == pytest.approx(2.0)
    assert tail.verdict == verdict


def test_the_slowest_are_compared_under_the_same_arrivals(found: Results) -> None:
    same = {"load": "open", "rate_per_s": 2.8}
    opened = section(
        "open",
        measured(OURS, 9.0, share=0.7, load="open", rate_per_s=4.2),
        measured(OURS, 6.0, share=0.47, tail=3.0, **same),
        measured("bentoml", 4.0, share=0.7, tail=4.0, **same),
        measured("mosec", 4.1, share=0.7, load="open", rate_per_s=2.7),  # sent less, answered more
    )
    slowest = goal(found.with_section(opened), "`rag`, p99 at the fastest peer's arrivals")
    assert (slowest.needed, slowest.found) == (1.0, pytest.approx(0.5))
    assert slowest.verdict == "met" and "bentoml" in slowest.what


def test_a_peer_that_lost_requests_has_no_short_tail(found: Results) -> None:
    opened = found.section("open")
    assert opened is not None
    *others, mosec = opened.measured
    lost = tuple(replace(r, summary=replace(r.summary, answered=1)) for r in mosec.repeats)
    changed = replace(opened, measured=(*others, replace(mosec, repeats=lost)))
    assert (
        goal(found.with_section(changed), "capacity, shortest-tailed peer's (bentoml)").verdict
        == "met"
    )


def test_what_was_not_measured_is_neither_met_nor_missed(found: Results) -> None:
    assert goal(found, "`rerank` at saturation").verdict == "not measured"
    assert {one.verdict for one in goals(Results())} == {"not measured"}


def test_results_survive_their_file(found: Results, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    results.write(found, file)
    first = results.read(file)
    results.write(first, file)
    assert results.read(file) == first
    assert first.section("rag").measured[0].point == found.section("rag").measured[0].point  # type: ignore[union-attr]


def test_a_section_replaces_its_older_run(found: Results) -> None:
    again = found.with_section(section("rag"))
    assert len(again.sections) == len(found.sections)
    assert again.measured("rag") == ()
    assert again.measured("open") == found.measured("open")


def test_page_and_plots_hold_what_was_found(found: Results, tmp_path: Path) -> None:
    written = page.write(found, tmp_path)
    text = written[0].read_text()
    names = {"rag-latency", "rag-clients", "llm-stream", "rag-documents", "open-loop"}
    assert {path.stem for path in written[1:]} == names
    assert all(f"(benchmarks/{name}.svg)" in text for name in names)
    assert "| ours | 6 | 6 | 5.4 to 6.6 | 3.00 × |" in text
    assert "ray_serve: no" in text, "who did not start is named"
    assert "the run was stopped here" in text
    before = [path.read_bytes() for path in written]
    assert [path.read_bytes() for path in page.write(found, tmp_path)] == before


def test_what_several_sections_lack_is_told_once(tmp_path: Path) -> None:
    cut = section("embed", complete=False)
    text = page.write(Results((cut, section("rag"), section("llm"))), tmp_path)[0].read_text()
    assert "- Not measured in embed, rag, llm: ray_serve: no.\n" in text
    assert "- Not measured in embed: the run was stopped here.\n" in text
    assert text.count("ray_serve: no") == 1


def test_nothing_has_no_plots(tmp_path: Path) -> None:
    assert draw(Results(), tmp_path) == []


@dataclass
class FakeServices:
    """An event loop and no server."""

    loop: asyncio.Runner = field(default_factory=asyncio.Runner)
    faults: dict[str, str] = field(default_factory=dict)

    def others_stopped(self, variant: str) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


@dataclass
class Sleeper:
    """A peer that does nothing."""

    process: psutil.Popen

    def is_alive(self) -> bool:
        return True

    def processes(self) -> list[psutil.Process]:
        return tree(self.process.pid)


def test_only_the_variant_that_is_measured_runs() -> None:
    peers = {name: Sleeper(psutil.Popen(["sleep", "60"])) for name in ("mosec", "bentoml")}
    services = Services(_running=dict(peers))  # type: ignore[arg-type]

    def stopped() -> set[str]:
        return {name for name, one in peers.items() if one.process.status() == "stopped"}

    def are_stopped(expected: set[str]) -> bool:
        """A process stops, and goes on, when the kernel next comes to it."""
        deadline = time.monotonic() + WAIT_S
        while stopped() != expected and time.monotonic() < deadline:
            time.sleep(0.01)
        return stopped() == expected

    try:
        with services.others_stopped(OURS):
            assert are_stopped({"mosec", "bentoml"})
        with services.others_stopped("mosec, 2 × 1 threads"):
            assert are_stopped({"bentoml"})
        assert are_stopped(set())
    finally:
        for one in peers.values():
            one.process.kill()


async def good(work: float) -> AsyncIterator[float]:
    await asyncio.sleep(0)
    yield work


async def broken(work: float) -> AsyncIterator[float]:
    raise ConnectionError
    yield work


def _job(name: str, variant: Variant) -> Job:
    return Job(Point(name, "embed", clients=2), variant, embeds, Load(Window(0.0, rounds=3)), 4)


@pytest.fixture
def recorder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    file = tmp_path / "results.json"
    monkeypatch.setattr(measure, "read", lambda: results.read(file))
    monkeypatch.setattr(measure, "write", lambda found: results.write(found, file))
    monkeypatch.setattr(measure, "_WARM_UP", Window(0.0))
    services = FakeServices()
    yield Recorder(section("embed", complete=False), 2, services)  # type: ignore[arg-type]
    services.loop.close()


@pytest.mark.enable_socket  # the event loop's own socket pair
def test_a_broken_variant_loses_only_itself(recorder: Recorder) -> None:
    jobs = [_job("good", Variant("good", lambda r: 1.0, good)),
            _job("broken", Variant("broken", lambda r: 1.0, broken))]  # fmt: skip
    fine, bad = recorder.add(jobs)
    assert len(fine.repeats) == 2
    assert fine.repeats[0].summary.answered >= 6
    assert (bad.repeats, bad.fault) == ((), "no answer; faults: ConnectionError")
    (again,) = recorder.add(jobs[1:])
    assert "skipped" in again.fault


@pytest.mark.enable_socket
def test_every_group_is_written_at_once(recorder: Recorder) -> None:
    recorder.add([_job("good", Variant("good", lambda r: 1.0, good))])
    kept = measure.read().section("embed")
    assert kept is not None
    assert (len(kept.measured), kept.is_complete) == (1, False)
    finished = recorder.finish().section("embed")
    assert finished is not None
    assert finished.is_complete


def test_a_job_that_cannot_be_made_is_a_fault(recorder: Recorder) -> None:
    def refuse(request: object) -> object:
        raise ValueError("not possible")

    (bad,) = recorder.add([_job("x", Variant("x", refuse, good))])
    assert bad.fault == "ValueError: not possible"


def words(request: Request) -> list[int]:
    """How many each text has."""
    texts = [str(value) for values in vars(request).values()
             for value in (values if isinstance(values, tuple) else [values])]  # fmt: skip
    return [len(text.split()) for text in texts]


def test_workloads_are_the_same_work_for_everyone() -> None:
    for make in (embeds, reranks, lambda: prompts(4), lambda: rags(["a", "b c", "d e f"], 2)):
        one, other = make(), make()  # type: ignore[operator]
        assert [words(next(one)) for _ in range(5)] == [words(next(other)) for _ in range(5)]


def test_no_text_is_asked_for_twice() -> None:
    """Our embedder keeps rows: a text seen before would cost nothing."""
    texts = [text for _ in range(3) for r in islice(embeds(), 50) for text in r.texts]
    for request in islice(rags(["A is. It was.", "b", "c"], 7), 50):
        texts += [
            request.question,
            *(s for passage in request.passages for s in sentences(passage)),
        ]
    assert len(set(texts)) == len(texts)


def test_the_time_to_the_first_token_is_told_by_steps(found: Results, tmp_path: Path) -> None:
    before, after = (
        first_token.read_sums(
            sample
            for family in text_string_to_metric_families(_metrics_page(seconds, requests))
            for sample in family.samples
        )
        for seconds, requests in ((1.0, 10), (1.5, 20))
    )
    facts = tuple(first_token.parts(dict(before), dict(after), clients=8))
    assert [(fact.what, fact.value) for fact in facts] == [
        ("`queue`, 8 clients, ms", pytest.approx(50)),
        ("`embedder`, 8 clients, ms", pytest.approx(50)),
        ("`llm: prefill`, 8 clients, ms", pytest.approx(50)),
    ]
    streams = [measured(CANCELLABLE, 1.0, name, clients=8) for name in STREAMED]
    section_ = replace(section("first-token", *streams), facts=facts)
    text = page.write(found.with_section(section_), tmp_path)[0].read_text()
    assert "| `embedder` |  | 50 |" in text
    assert "| its first sentence, p50 / p99 |  | 1,000 / 2,000 |" in text


def _metrics_page(seconds: float, requests: int) -> str:
    name = STAGE_DURATION.name
    phases = {"rag_cancellable": ("queue", "embedder", "llm"), "llm": ("prefill", "decode")}
    lines = [f"# TYPE {name} histogram"]
    for model, stages in phases.items():
        for stage in stages:
            labels = f'{{model="{model}",version="1",stage="{stage}"}}'
            spent_s = seconds
            lines += [f"{name}_sum{labels} {spent_s}", f"{name}_count{labels} {requests}"]
    return "\n".join(lines) + "\n"


def test_rag_asks_for_as_many_passages_as_are_wanted() -> None:
    request = next(rags(["a", "b", "c"], 7))
    assert isinstance(request, Rag)
    assert len(request.passages) == 7
    assert {len(request.texts) for request in (next(embeds()),)} == {1}
    assert isinstance(next(embeds()), Embed)


def test_where_divides_by_the_answered_requests() -> None:
    before, after = Counters(10, 5, 1.0, cpu_s=2.0), Counters(30, 10, 3.0, cpu_s=2.5)
    found = summarize(_ten_records())
    text = report(found, {"embedder": after - before})
    assert "| embedder | 2.00 | 4.0 | 200.00 | 0.00 | 0.00 | 0.00 | 50.00 |" in text


def _ten_records() -> list[Record]:
    return [Record(0, 0, 1.0, (Response(1.0, 1),), Outcome.OK) for _ in range(10)]


def test_an_unknown_peer_is_told_with_those_there_are() -> None:
    told = CliRunner().invoke(main, ["--page-only", "--peers", "mosec,tgi"])
    assert told.exit_code == 2
    assert "'tgi' is none of fastapi, bentoml, litserve, ray_serve, mosec, llama_cpp" in told.output
