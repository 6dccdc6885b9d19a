"""`SLO=…`: what can be asked for, and what a slip is answered with."""

import pytest

from builders.errors import BuildError
from builders.tune import objective
from builders.tune.objective import Limit, parse, seconds, workloads
from builders.tune.order import MOST_CLIENTS, parse_clients, schedule


def test_limits_of_all_kinds():
    assert parse("embed:p99<200ms rag:p99.9<5s, llm:ttft_p50<1.5s rag:itl_p90<500us") == (
        Limit("embed", "latency", 99.0, 0.2),
        Limit("rag", "latency", 99.9, 5.0),
        Limit("llm", "ttft", 50.0, 1.5),
        Limit("rag", "itl", 90.0, pytest.approx(0.0005)),
    )


def test_the_default_is_about_every_workload():
    assert set(workloads(parse(objective.DEFAULT))) == set(objective.WORKLOADS)


def test_rag_is_tuned_last_whatever_the_order_asked():
    assert list(workloads(parse("rag:p99<5s embed:p99<1s rag:p50<1s"))) == ["embed", "rag"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "asks for nothing"),
        ("embed", "'embed' can't be read; write WORKLOAD:"),
        ("embed:p99>200ms", "can't be read"),
        ("embed:p99<200", "can't be read"),
        ("embed:p99<200ms;rag:p99<5s", "can't be read"),
        ("retrieve:p99<1s", "no workload 'retrieve'; embed, rerank, llm, rag can be tuned"),
        ("embed:ttft_p99<1s", "'embed' has no 'ttft'; it can be p99 and the like"),
        ("llm:queue_p99<1s", "'llm' has no 'queue'; it can be p99, ttft_p99, itl_p99"),
        ("embed:p100<1s", "p100; more than p0 and less than p100"),
        ("embed:p0<1s", "more than p0"),
        ("embed:p99<0ms", "a limit of 0"),
        ("embed:p99<1s embed:p99<2s", "both 'embed p99 < 1 s' and 'embed p99 < 2 s'"),
        ("embed:p99<1s embed:p99<1s", "leave one out"),
    ],
)
def test_a_slip_is_named(text, says):
    with pytest.raises(BuildError) as caught:
        parse(text)
    assert says in str(caught.value)


def test_limits_read_as_people_write_them():
    assert str(parse("llm:ttft_p99<500ms")[0]) == "llm ttft_p99 < 500 ms"
    assert [seconds(value) for value in (5.0, 0.0884, 0.00034)] == ["5 s", "88.4 ms", "340 µs"]


def test_clients_have_defaults():
    clients = parse_clients("embed=3,rag=200")
    assert (clients.of("embed"), clients.of("rag")) == (3, 200)
    assert clients.of("llm") == parse_clients("").of("llm")


@pytest.mark.parametrize("text", ["embed", "embed=0", "embed=x", "e=1", f"rag={MOST_CLIENTS + 1}"])
def test_impossible_clients_are_refused(text):
    with pytest.raises(BuildError, match=f"clients '{text}'; WORKLOAD=NUMBER is needed, with one"):
        parse_clients(text)


def test_a_run_too_short_to_confirm_is_refused():
    with pytest.raises(BuildError, match=r"final measurement of embed, rag alone.*give at least"):
        schedule(0.5, ["embed", "rag"])
    short, full, long = (schedule(minutes, ["embed"]).slice_s for minutes in (1, 20, 60))
    assert short < full == long
