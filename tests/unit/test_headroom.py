"""The search for the largest load, on a simulated server."""

import itertools
import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.headroom.page import advice, plot
from tests.headroom.search import CLOSE_ENOUGH, Step, largest_kept, lowest_failed, search
from tests.headroom.slo import Slo, parse
from tests.load.records import Outcome, Record, Response

P99 = parse("rag:p99<5s")


class SimulatedServer:
    """Keeps the SLO up to `capacity`, and fails its measurements number `hiccups` nevertheless."""

    def __init__(self, capacity: float, hiccups: tuple[int, ...] = ()) -> None:
        self.loads: list[float] = []
        self._capacity, self._hiccups = capacity, hiccups

    def measure(self, load: float) -> Step:
        is_kept = load <= self._capacity and len(self.loads) not in self._hiccups
        self.loads.append(load)
        return Step("requests/s", load, 300, 300, load, 1.0 if is_kept else 9.0, is_kept)


def always() -> bool:
    return True


@given(capacity=st.floats(1.0, 4000.0), start=st.floats(1.0, 60.0))
def test_finds_the_largest_rate(capacity: float, start: float) -> None:
    steps = list(search(SimulatedServer(capacity).measure, start, 5000.0, always))
    kept, failed = largest_kept(steps, "requests/s"), lowest_failed(steps, "requests/s")
    assert kept is not None and failed is not None
    assert kept.load <= capacity < failed <= CLOSE_ENOUGH * kept.load


@given(capacity=st.integers(1, 500), start=st.integers(1, 64))
def test_finds_a_whole_number_of_clients(capacity: int, start: int) -> None:
    steps = list(search(SimulatedServer(capacity).measure, start, 512, always, is_whole=True))
    kept = largest_kept(steps, "requests/s")
    assert kept is not None
    assert capacity / CLOSE_ENOUGH - 1 < kept.load <= capacity
    assert all(step.load == int(step.load) for step in steps)


def test_one_failure_is_no_failure() -> None:
    server = SimulatedServer(100.0, hiccups=(0,))
    steps = list(search(server.measure, 50.0, 5000.0, always))
    assert server.loads[:2] == [50.0, 50.0]
    assert lowest_failed(steps, "requests/s") > 100.0


def test_gives_up_where_no_load_is_kept() -> None:
    steps = list(search(SimulatedServer(0.0).measure, 64.0, 5000.0, always))
    assert largest_kept(steps, "requests/s") is None
    assert min(step.load for step in steps) == 1.0


def test_never_goes_above_the_most() -> None:
    steps = list(search(SimulatedServer(math.inf).measure, 8, 100.0, always))
    assert [step.load for step in steps] == [8, 16, 32, 64, 100.0]


def test_ends_when_the_time_is_over() -> None:
    answers = itertools.chain([True, True], itertools.repeat(False))
    steps = list(search(SimulatedServer(math.inf).measure, 1, 100, lambda: next(answers)))
    assert [step.load for step in steps] == [1, 2]


@pytest.mark.parametrize(
    ("text", "slo", "needed"),
    [
        ("rag:p99<5s", Slo("rag", 99, 5.0), 300),
        ("embed:p95<200ms", Slo("embed", 95, 0.2), 60),
        ("llm:ttft_p99.9<1s", Slo("llm", 99.9, 1.0, is_ttft=True), 3000),
        ("rerank:p50<1.5s", Slo("rerank", 50, 1.5), 50),
    ],
)
def test_slo_says_how_many_requests_it_needs(text: str, slo: Slo, needed: int) -> None:
    assert parse(text) == slo
    assert str(slo) == text
    assert slo.requests_needed == needed


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("rag", "write ENTRY:"),
        ("rag:p99<5", "write ENTRY:"),
        ("chat:p99<5s", "no entry 'chat'; possible: embed, rerank, llm, rag"),
        ("embed:ttft_p99<5s", "'embed' has no first token; llm and rag do"),
        ("rag:p100<5s", "between 0 and 100"),
        ("rag:p99<0s", "limit above 0"),
    ],
)
def test_faulty_slo_says_what_is_possible(text: str, fault: str) -> None:
    with pytest.raises(ValueError, match=re.escape(fault)):
        parse(text)


def record(first_s: float, end_s: float, outcome: Outcome = Outcome.OK) -> Record:
    return Record(0, 0, end_s, (Response(first_s, 1), Response(end_s, 1)), outcome)


def test_percentile_is_of_the_answer_or_of_the_first_token() -> None:
    records = [record(n / 1000, n / 100) for n in range(1, 101)]
    assert P99.measured_s(records) == pytest.approx(0.99)
    assert parse("rag:ttft_p99<5s").measured_s(records) == pytest.approx(0.099)


@pytest.mark.parametrize("outcome", [Outcome.REFUSED, Outcome.TIMEOUT, Outcome.ERROR])
def test_a_request_without_an_answer_takes_for_ever(outcome: Outcome) -> None:
    answered = [record(0.1, 0.2)] * 98
    assert P99.measured_s([*answered, record(0.1, 0.2), record(0.1, 0.2, outcome)]) == 0.2
    assert math.isinf(P99.measured_s([*answered, *[record(0.1, 0.2, outcome)] * 2]))


def steps_of(clients: float, rate: float) -> list[Step]:
    return [
        Step("clients", clients, 300, 300, 20.0, 1.25, True),
        Step("clients", 2 * clients, 300, 300, 20.0, 9.0, False),
        Step("requests/s", rate, 300, 300, rate, 4.5, True),
    ]


def test_advice_says_what_to_set() -> None:
    text = "\n".join(advice(P99, steps_of(40, 20), 64))
    assert (
        "rag:p99<5s is kept at 40 clients (p99 1.25s of 300 requests); 80 clients miss it" in text
    )
    assert "[models.rag_cancellable.parameters] max_running_requests = 40 (cpu.toml has 64)" in text
    assert "no larger load was tried" in text
    assert "add a server at 13 requests/s a server (65% of the largest rate)" in text


def test_advice_sets_nothing_where_nothing_was_kept() -> None:
    lost = [Step("clients", 1, 300, 0, 0.0, math.inf, False)]
    text = "\n".join(advice(P99, lost, 64))
    assert "kept at no load that was tried; 1 clients miss it" in text
    assert "set in" not in text


def test_plot_is_the_same_for_the_same_steps(tmp_path) -> None:
    first, second = tmp_path / "first.svg", tmp_path / "second.svg"
    plot(P99, steps_of(40, 20), first)
    plot(P99, steps_of(40, 20), second)
    assert first.read_bytes() == second.read_bytes()
