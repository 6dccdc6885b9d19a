"""The committed dashboards and rules: as rendered, whole, and about metrics that exist."""

import json
import re
from typing import Any

import pytest
import yaml

from builders.repository import differences
from builders.spec import ROOT, load_sku
from ensembles.metrics import MODEL_METRICS, SUPERVISOR_METRICS, Kind
from operations.monitoring.alerts import GROUPS, MAX_WAITING_REQUESTS
from operations.monitoring.documents import FOLDER, PAGE, documents
from operations.monitoring.panels import COLUMNS, all_panels
from operations.monitoring.rows import ROWS
from operations.monitoring.rules import all_alerts
from operations.monitoring.sources import KNOWN

FILES = documents()
RULES = yaml.safe_load(FILES["observability/rules.yml"])
TESTS = yaml.safe_load(FILES["observability/rules_test.yml"])
SCRAPES = yaml.safe_load(FILES["observability/prometheus.yml"])
GRAFANA = json.loads(FILES["observability/grafana.json"])
ALL_RULES = [rule for group in RULES["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in ALL_RULES if "record" in rule}
PANELS = [panel for panel in GRAFANA["panels"] if panel["type"] != "row"]
TARGETS = [target["expr"] for panel in PANELS for target in panel["targets"]]

WORDS = {
    *("sum", "min", "max", "by", "rate", "increase", "and", "or", "on", "absent"),
    *("group_left", "histogram_quantile", "predict_linear", "min_over_time", "avg_over_time"),
}
SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}
NAMES = {m.name + suffix for m in KNOWN for suffix in SUFFIXES[m.kind]} | RECORDED


def names_in(expr: str) -> set[str]:
    """Metric names of PromQL, found without the code that wrote it."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|by \([^)]*\)", "", expr)
    return set(re.findall(r"[a-zA-Z_:][\w:]*", bare)) - WORDS


def test_the_files_on_disk_are_the_rendered_ones():
    assert "".join(differences(FILES, ROOT / "docs")) == "", "run 'make render'"


@pytest.mark.parametrize("expr", [*TARGETS, *(rule["expr"] for rule in ALL_RULES)])
def test_queries_read_metrics_that_exist(expr):
    assert names_in(expr)
    assert names_in(expr) <= NAMES
    assert expr.count("(") == expr.count(")")


def test_names_are_found_where_they_are_wrong():
    assert names_in('sum by (model) (rate(rag_request_totals{a="b"}[5m])) / x:y') == {
        "rag_request_totals",
        "x:y",
    }


def test_every_metric_of_ours_is_on_a_panel():
    shown = {
        metric for panel in all_panels(ROWS) for c in panel.curves for metric in c.expr.metrics
    }
    assert {m.name for m in (*MODEL_METRICS, *SUPERVISOR_METRICS)} <= {m.name for m in shown}


def test_rules_have_no_open_places():
    assert not any("$" in rule["expr"] for rule in ALL_RULES)


def test_recorded_series_come_before_the_alerts_that_read_them():
    seen: set[str] = set()
    for rule in ALL_RULES:
        assert names_in(rule["expr"]) & RECORDED <= seen, rule
        seen |= {rule.get("record", "")}


def test_names_of_rules_differ():
    names = [rule.get("alert") or rule["record"] for rule in ALL_RULES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("alert", ALERTS, ids=[alert["alert"] for alert in ALERTS])
def test_an_alert_says_what_to_do_and_where_to_read_on(alert):
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert re.fullmatch(r"\d+[smhd]", alert["for"])
    notes = alert["annotations"]
    assert all(notes[name] for name in ("summary", "description"))
    path, _, anchor = notes["runbook_url"].partition("#")
    headings = re.findall(r"^#+ (.+)$", FILES[PAGE], re.MULTILINE)
    assert path == f"docs/{PAGE}"
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def test_every_alert_is_tested_to_fire_and_to_be_quiet():
    outcomes: dict[str, set[bool]] = {}
    for test in TESTS["tests"]:
        (check,) = test["alert_rule_test"]
        outcomes.setdefault(check["alertname"], set()).add(bool(check["exp_alerts"]))
    assert outcomes == {alert.name: {True, False} for alert in all_alerts(GROUPS)}


def test_the_scrape_configuration_names_jobs_that_alerts_look_for():
    jobs = {job["job_name"] for job in SCRAPES["scrape_configs"]}
    wanted = {found for alert in ALERTS for found in re.findall(r'job="(\w+)"', alert["expr"])}
    assert wanted == jobs
    assert SCRAPES["rule_files"] == ["rules.yml"]


def test_the_queue_of_the_alert_is_that_of_the_placements():
    for sku in ("cpu", "h100-sxm-80gb"):
        found = load_sku(sku).place("llm").parameters["max_waiting_requests"]
        assert found == MAX_WAITING_REQUESTS


def test_grafanas_panels_are_whole_and_do_not_overlap():
    everything = GRAFANA["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        x, y, w, h = (panel["gridPos"][key] for key in "xywh")
        assert x >= 0
        assert x + w <= COLUMNS
        cells = {(left, top) for left in range(x, x + w) for top in range(y, y + h)}
        assert not cells & taken, panel["title"]
        taken |= cells
    assert len(PANELS) == len(list(all_panels(ROWS)))


@pytest.mark.parametrize("panel", PANELS, ids=[panel["title"] for panel in PANELS])
def test_a_grafana_panel_has_what_grafana_needs(panel: dict[str, Any]):
    assert panel["type"] in ("stat", "timeseries")
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["description"]
    steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
    assert steps[0]["value"] is None, "Grafana wants a base step"
    assert all(step["value"] is not None for step in steps[1:])
    assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])
    assert all(target["legendFormat"] for target in panel["targets"])


def test_grafanas_variables_are_those_that_queries_use():
    variables = {variable["name"] for variable in GRAFANA["templating"]["list"]}
    used = {name for expr in TARGETS for name in re.findall(r"\$(\w+)", expr)}
    assert used - {"__rate_interval"} | {"datasource"} == variables
    (first, *_) = GRAFANA["templating"]["list"]
    assert first["type"] == "datasource"


def test_pictures_of_the_page_are_there_and_small():
    pictures = re.findall(r"!\[[^]]+\]\((\S+)\)", FILES[PAGE])
    assert pictures
    for picture in pictures:
        path = ROOT / "docs" / picture
        assert path.is_file(), picture
        assert path.stat().st_size <= 300 * 1024
    assert (FOLDER / "queries.md").is_file()
