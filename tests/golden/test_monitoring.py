"""The files of operations/monitoring name what the server has, and agree with each other."""

import itertools
import json
import re
from pathlib import Path

import pytest
import yaml

from builders.spec import ROOT, load_sku, sku_names
from ensembles.metrics import (
    CONNECTIONS_ENDED,
    OUTCOMES,
    SUPERVISOR_READY,
    Kind,
)
from tests.served_metrics import GATEWAY_METRICS, MODEL_METRICS, SUPERVISOR_METRICS

FOLDER = ROOT / "operations" / "monitoring"
RULES = yaml.safe_load((FOLDER / "rules.yml").read_text())["groups"]
RULE_TESTS = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
DASHBOARD = json.loads((FOLDER / "grafana.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
ALERTS = [rule for group in RULES for rule in group["rules"] if "alert" in rule]
RECORDED = {rule["record"] for group in RULES for rule in group["rules"] if "record" in rule}

OF_PROMETHEUS = {"up": {"job", "instance"}, "ALERTS": {"alertname", "alertstate"}}
OF_TRITON = {"nv_inference_pending_request_count": {"model", "version"}}
METRICS = (*MODEL_METRICS, *GATEWAY_METRICS, *SUPERVISOR_METRICS)
WITHOUT_MODEL = (SUPERVISOR_READY, CONNECTIONS_ENDED)
EVERYWHERE = {"job", "instance"}
FUNCTIONS = {
    *("sum", "avg", "min", "max", "count", "rate", "increase", "histogram_quantile", "absent"),
    *("vector", "scalar", "predict_linear", "avg_over_time", "min_over_time", "sum_over_time"),
    *("max_over_time", "by", "on", "or", "and", "unless", "group_left", "label_values"),
}
OF_RECORDINGS = {"model", "slo"}
_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\{([^}]*)\}")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"([^"]*)"')


def series() -> dict[str, set[str]]:
    """Every series that exists, with its labels."""
    found = {**OF_PROMETHEUS, **OF_TRITON}
    for metric in (*MODEL_METRICS, *SUPERVISOR_METRICS):
        labels = set(metric.labels) | (set() if metric in WITHOUT_MODEL else {"model"})
        labels |= {"version"} if metric in MODEL_METRICS else set()
        if metric.kind is Kind.HISTOGRAM:
            found |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            found[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            found[metric.name] = labels
    return found | dict.fromkeys(RECORDED, OF_RECORDINGS)


SERIES = series()


def names(expression: str) -> set[str]:
    """The names of series in a PromQL expression."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", expression)
    bare = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", bare)
    found = {name for name in _NAME.findall(bare) if not re.fullmatch(r"\d.*|[smhd]", name)}
    return found - FUNCTIONS


EXPRESSIONS = [
    *((rule.get("alert") or rule["record"], rule["expr"]) for g in RULES for rule in g["rules"]),
    *((panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]),
    *(
        (test["name"], given["series"])
        for test in RULE_TESTS
        for given in test.get("input_series", ())
    ),
]


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS)
def test_expressions_name_series_that_the_server_has(where: str, expression: str) -> None:
    assert names(expression) <= SERIES.keys(), where
    for name, selector in _SELECTOR.findall(expression):
        labels = {label for label, _ in _LABEL.findall(selector)}
        assert labels <= SERIES[name] | EVERYWHERE, f"{where}: {name}"
    possible = set().union(EVERYWHERE, *(SERIES[name] for name in names(expression)))
    for labels in re.findall(r"\bby\s*\(([^)]*)\)", expression):
        assert {label.strip() for label in labels.split(",")} <= possible, where


def test_recorded_series_stand_before_the_rules_that_read_them() -> None:
    seen: set[str] = set()
    for group in RULES:
        for rule in group["rules"]:
            assert names(rule["expr"]) & RECORDED <= seen, rule
            seen.add(rule.get("record", ""))


def test_values_of_labels_exist() -> None:
    """An outcome that nobody counts would keep a panel empty for ever."""
    known = {"outcome": set(OUTCOMES)}
    for where, expression in EXPRESSIONS:
        for label, value in _LABEL.findall(expression):
            if label in known:
                assert set(value.split("|")) <= known[label], where


def test_every_alert_has_a_test_that_fires_and_one_that_does_not() -> None:
    checks = [check for test in RULE_TESTS for check in test.get("alert_rule_test", ())]
    for alert in ALERTS:
        own = [check for check in checks if check["alertname"] == alert["alert"]]
        assert any(check.get("exp_alerts") for check in own), alert["alert"]
        assert any(not check.get("exp_alerts") for check in own), alert["alert"]


def test_the_readme_says_what_to_do_about_every_alert() -> None:
    page = (FOLDER / "README.md").read_text()
    headings = re.findall(r"^### (\w+)$", page, re.MULTILINE)
    assert headings == [alert["alert"] for alert in ALERTS]
    for alert in ALERTS:
        link = f"operations/monitoring/README.md#{alert['alert'].lower()}"
        assert alert["annotations"]["runbook_url"] == link
        assert alert["labels"]["severity"] in ("page", "ticket")
        assert f"### {alert['alert']}\n{alert['labels']['severity'].title()}." in page


def test_limits_equal_the_placements() -> None:
    (limit,) = (
        rule["expr"]
        for group in RULES
        for rule in group["rules"]
        if rule.get("record") == "llm:requests_waiting:limit"
    )
    placed = {load_sku(n).place("llm").parameters["max_waiting_requests"] for n in sku_names()}
    assert {f"vector({value})" for value in placed} == {limit}


def test_limits_stand_in_one_place() -> None:
    (limits, *others) = RULES
    assert limits["name"] == "limits"
    assert "256" not in json.dumps(others)


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panels_are_complete(panel: dict[str, object]) -> None:
    assert panel["type"] in ("stat", "timeseries")
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"]
    references = [target["refId"] for target in panel["targets"]]
    assert references
    assert len(set(references)) == len(references)


def test_panels_do_not_overlap() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        below = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or below, (one, other)


def test_the_compose_file_mounts_files_that_exist() -> None:
    services = yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]
    for service in services.values():
        assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
        for volume in service["volumes"]:
            assert (FOLDER / Path(volume.split(":")[0])).exists()


def test_prometheus_scrapes_the_ports_of_serve_and_loads_the_rules() -> None:
    config = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    targets = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert targets == {"tritonserver": ["127.0.0.1:8002"], "supervisor": ["127.0.0.1:8003"]}
    assert config["rule_files"] == ["rules.yml"]


def test_the_page_of_metrics_lists_every_metric_with_its_labels() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)(?:\{([^}]*)\})?` \|", page, re.MULTILINE)
    assert rows == [(m.name, ", ".join(m.labels)) for m in METRICS]


def test_names_of_metrics_say_their_kind_as_the_page_says() -> None:
    kinds = {"_total": Kind.COUNTER, "_seconds": Kind.HISTOGRAM}
    for metric in METRICS:
        batch = Kind.HISTOGRAM if metric.name.startswith("rag_batch_") else Kind.GAUGE
        said = next((k for end, k in kinds.items() if metric.name.endswith(end)), batch)
        assert metric.kind is said, metric.name


def test_wrong_names_are_found() -> None:
    found = names('sum by (model) (rate(rag_request_totals{a="b"}[5m])) / slo:burn:1h')
    assert found == {"rag_request_totals", "slo:burn:1h"}
