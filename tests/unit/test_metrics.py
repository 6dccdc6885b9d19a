"""Metrics are stored at once, flushed to the server by a thread, and never harm a request."""

import re
import threading

import pytest

from ensembles.metrics import (
    OUTCOMES,
    REQUEST_DURATION,
    REQUESTS,
    RUNNING,
    Kind,
)
from python_backends.triton import metering
from python_backends.triton.metering import TritonMeter
from tests.fakes import triton_stub
from tests.fakes.serving import WAIT_S
from tests.served_metrics import MODEL_METRICS, SUPERVISOR_METRICS

LABELS = {"model": "llm", "version": "1"}


@pytest.fixture
def metrics(pb, monkeypatch):
    """What the fake server was asked to make; broken by `triton_stub.Metric.fails`."""
    monkeypatch.setattr(triton_stub.MetricFamily, "metrics", [])
    monkeypatch.setattr(triton_stub.Metric, "fails", None)
    monkeypatch.setattr(metering, "FLUSH_S", 3600)
    return triton_stub.MetricFamily.metrics


@pytest.fixture
def meter(metrics):
    found = TritonMeter(LABELS)
    yield found
    found.close()


def test_each_kind_reaches_the_server_with_its_labels_by_one_flush(meter, metrics):
    meter.counter(REQUESTS, outcome="ok").increment()
    meter.counter(REQUESTS, outcome="ok").increment(2)
    meter.gauge(RUNNING).set(4)
    meter.gauge(RUNNING).set(3)
    for seconds in (0.1, 0.1, 7.0):
        meter.histogram(REQUEST_DURATION).observe(seconds)
    assert metrics == [], "nothing waits for the server"
    meter.flush()
    counter, gauge, histogram = metrics
    assert counter.labels == LABELS | {"outcome": "ok"}
    assert (counter.number, gauge.number) == (3, 3)
    assert histogram.observed == [0.1, 0.1, 7.0]
    meter.flush()
    assert (counter.number, histogram.observed) == (3, [0.1, 0.1, 7.0]), "only what is new"


def test_a_counter_is_on_the_page_before_it_counts(meter, metrics):
    meter.counter(REQUESTS, outcome="failed")
    meter.flush()
    assert [(m.family.name, m.number) for m in metrics] == [("rag_requests_total", 0)]


def test_values_that_the_server_refuses_are_kept_and_logged_once(meter, metrics, caplog):
    counter, histogram = meter.counter(REQUESTS, outcome="ok"), meter.histogram(REQUEST_DURATION)
    meter.flush()
    triton_stub.Metric.fails = RuntimeError("the server is going down")
    counter.increment()
    for _ in range(3):
        meter.flush()
    assert caplog.text.count("the server is going down") == 1
    triton_stub.Metric.fails = None
    counter.increment()
    histogram.observe(1.0)
    meter.flush()
    assert metrics[0].number == 2
    assert metrics[1].observed == [1.0]


def test_stored_values_are_bounded(metrics, monkeypatch):
    monkeypatch.setattr(metering, "MAX_OBSERVATIONS", 10)
    meter = TritonMeter(LABELS)
    for value in range(25):
        meter.histogram(REQUEST_DURATION).observe(value)
    meter.close()
    assert metrics[0].observed == list(range(15, 25))


def test_increments_of_many_threads_add_up(meter, metrics):
    counter = meter.counter(REQUESTS, outcome="ok")

    def work():
        for _ in range(2000):
            counter.increment()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        meter.flush()
    meter.flush()
    assert metrics[0].number == 8000


def test_the_thread_flushes_regularly_and_at_the_end(metrics, monkeypatch):
    monkeypatch.setattr(metering, "FLUSH_S", 0.001)
    meter, seen = TritonMeter(LABELS), threading.Event()
    monkeypatch.setattr(triton_stub.Metric, "observe", lambda *_: seen.set())
    meter.histogram(REQUEST_DURATION).observe(1.0)
    assert seen.wait(WAIT_S)
    meter.counter(REQUESTS, outcome="ok").increment()
    meter.close()
    assert [m.number for m in metrics if m.family.kind == triton_stub.MetricFamily.COUNTER] == [1]


def test_a_hanging_server_does_not_delay_the_end(metrics, monkeypatch):
    monkeypatch.setattr(metering, "CLOSE_S", 0.01)
    go_on = threading.Event()
    monkeypatch.setattr(triton_stub.Metric, "increment", lambda *_: go_on.wait(WAIT_S))
    meter = TritonMeter(LABELS)
    meter.counter(REQUESTS, outcome="ok").increment()
    meter.close()
    assert meter._thread.is_alive(), "it was not waited for"
    go_on.set()
    meter._thread.join(WAIT_S)


# --- the definitions -----------------------------------------------------------------------------


@pytest.mark.parametrize("metric", [*MODEL_METRICS, *SUPERVISOR_METRICS], ids=lambda m: m.name)
def test_definitions_keep_the_rules_of_prometheus(metric):
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert bool(metric.bounds) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.bounds) == sorted(set(metric.bounds))
    assert not {"model", "version", "le"} & set(metric.labels)
    assert "\n" not in metric.help


def test_every_outcome_is_named_in_the_help():
    assert all(outcome in REQUESTS.help for outcome in OUTCOMES)
