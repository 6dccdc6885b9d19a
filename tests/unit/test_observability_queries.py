"""Queries, panels and rules refuse what no metric has."""

import pytest

from ensembles.metrics import (
    MODEL_UP,
    REQUEST_DURATION,
    REQUESTS,
    STAGE_DURATION,
    TIME_TO_FIRST_TOKEN,
    WAITING,
    Kind,
    Metric,
)
from operations.monitoring.panels import Curve
from operations.monitoring.queries import Query, QueryError, Scope
from operations.monitoring.rules import Alert, Case, Severity, sample
from operations.monitoring.slo import AVAILABILITY, FAST, SLOS, TTFT, WINDOWS_S, Phase
from operations.monitoring.sources import labels_of

UP_BY_MODEL = Query(MODEL_UP, by=("model",))


def test_a_rate_is_written_with_its_open_places():
    expr = Query(REQUESTS, {"outcome": ("failed", "overloaded")}, ("model",), scoped=True).rate()
    assert expr.fill(Scope("30s", "llm|embedder", ".*")) == (
        'sum by (model) (rate(rag_requests_total{outcome=~"failed|overloaded", '
        'model=~"llm|embedder", version=~".*"}[30s]))'
    )


def test_a_label_that_is_given_is_not_narrowed_again():
    text = Query(REQUEST_DURATION, {"model": "llm"}, scoped=True).quantile(0.5).text
    assert text.count("model") == 1
    assert "version" in text


def test_the_supervisors_metrics_are_not_narrowed_by_version():
    assert "version" not in Query(MODEL_UP, by=("model",), scoped=True).now().text


@pytest.mark.parametrize(
    ("bound", "pattern"), [(1.0, 'le=~"1([.]0)?"'), (0.5, 'le=~"0[.]5"'), (300.0, "300([.]0)?")]
)
def test_a_bucket_is_found_however_its_bound_is_written(bound, pattern):
    assert pattern in Query(TIME_TO_FIRST_TOKEN).within(bound, "5m").text


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Query(REQUESTS, by=("stage",)), "rag_requests_total has no label 'stage', but"),
        (lambda: Query(REQUESTS, {"outcome": "lost"}), r"never \['lost'\], but \['cancelled'"),
        (lambda: Query(REQUESTS, {"model": "gpt"}), r"never \['gpt'\]"),
        (lambda: Query(REQUESTS).now(), "is a counter, not a gauge"),
        (lambda: Query(WAITING).rate(), "is a gauge, not a counter"),
        (lambda: Query(REQUEST_DURATION).rate(), "is a histogram, not a counter"),
        (lambda: Query(REQUESTS).quantile(0.5), "is a counter, not a histogram"),
        (lambda: Query(TIME_TO_FIRST_TOKEN).within(0.3), "has no bucket up to 0.3, but"),
        (lambda: Query(REQUESTS).rate("5 minutes"), "'5 minutes' is no window"),
        (lambda: Query(REQUESTS, by=("model",)).rate() / Query(REQUESTS).rate(), "match nothing"),
        (lambda: Query(WAITING).now().per(UP_BY_MODEL.now()), "sum over all"),
    ],
)
def test_what_no_metric_has_is_refused(make, said):
    with pytest.raises(QueryError, match=said):
        make()


def test_a_metric_that_nobody_serves_is_refused():
    with pytest.raises(KeyError, match="rag_new_total is not served; there are"):
        Query(Metric("rag_new_total", Kind.COUNTER, ""), by=("model",))


def test_operators_bracket_only_what_is_joined():
    a, b = Query(WAITING).now(), Query(REQUESTS).rate("5m")
    assert (a / b > 0.5).text == f"({a.text} / {b.text}) > 0.5"
    assert (a / b).metrics == {WAITING, REQUESTS}


def test_a_curves_name_tells_its_series_apart_and_no_more():
    expr = Query(STAGE_DURATION, by=("model", "stage")).mean()
    curve = Curve("{model} {stage}", expr)
    assert curve.name_for({"model": "llm", "stage": "decode"}) == "llm decode"
    assert curve.name_for({"model": "llm"}) == "llm ?"
    assert curve.grafana_name == "{{model}} {{stage}}"
    for name in ("{model}", "all", "{model} {stage} {version}"):
        with pytest.raises(QueryError, match="differ by"):
            Curve(name, expr)


def alert(summary: str = "{model} is down", for_: str = "1m", firing: bool = True) -> Alert:
    down = Case("down", (), "5m", ({"model": "llm"},) if firing else ())
    cases = (down, Case("up", (), "5m"))
    expr = UP_BY_MODEL.now("min").equals(0)
    return Alert("Down", Severity.PAGE, expr, for_, summary, "Down.", "Look.", cases)


def test_an_alert_names_only_labels_that_it_has():
    assert alert().summary_template() == "{{ $labels.model }} is down"
    assert alert().summary_for({"model": "llm"}) == "llm is down"
    assert alert().description == "Down. Look."
    with pytest.raises(QueryError, match="the summary names"):
        alert("{instance} is down")


def test_an_alert_needs_a_duration_and_both_kinds_of_cases():
    with pytest.raises(QueryError, match="'soon' is no duration"):
        alert(for_="soon")
    with pytest.raises(QueryError, match="needs a case that fires and one that does not"):
        alert(firing=False)


def test_made_up_series_have_labels_of_their_metric():
    found = sample(REQUESTS, "0+1x5", model="llm", outcome="ok")
    assert found.series == 'rag_requests_total{model="llm", outcome="ok"}'
    for labels in ({"stage": "queue"}, {"outcome": "fine"}):
        with pytest.raises(QueryError, match="has no series with"):
            sample(REQUESTS, "0", **labels)


@pytest.mark.parametrize("slo", SLOS)
def test_an_objectives_windows_are_recorded(slo):
    burning = slo.burning(FAST).text
    for burn in FAST:
        assert burn.long in WINDOWS_S
        assert f"{slo.recording(burn.long).name} > {burn.times * slo.budget:g}" in burning


def test_made_up_traffic_of_an_objective():
    phases = (Phase(bad=2, good=8, minutes=3), Phase(bad=0, good=10, minutes=2))
    failed, ok = AVAILABILITY.series(phases)
    assert (failed.values, ok.values) == ("0+2x2 6+0x1", "0+8x2 24+10x1")
    count, within, infinite = TTFT.series(phases)
    assert (count.values, within.values) == ("0+10x2 30+10x1", ok.values)
    assert 'le="+Inf"' in infinite.series


def test_labels_of_what_is_on_two_pages():
    assert "version" in labels_of(REQUESTS)
    assert "version" not in labels_of(MODEL_UP)
