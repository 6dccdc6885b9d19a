"""The monitoring files name only metrics, labels and limits that exist."""

import json
import re
import shutil
import subprocess
from itertools import combinations

import pytest
import yaml

from builders.spec import ROOT, load_sku
from ensembles.metrics import (
    MODEL_METRICS,
    MODEL_UP,
    OUTCOMES,
    SUPERVISOR_METRICS,
    TIME_TO_FIRST_TOKEN,
    Kind,
    Metric,
)

FOLDER = ROOT / "operations/monitoring"
README = (FOLDER / "README.md").read_text()
RULES_TEXT = (FOLDER / "rules.yml").read_text()
RULES = [rule for group in yaml.safe_load(RULES_TEXT)["groups"] for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS = yaml.safe_load((FOLDER / "rules_test.yml").read_text())["tests"]
SCRAPES = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
GRAFANA = json.loads((FOLDER / "grafana.json").read_text())
ROWS = [panel for panel in GRAFANA["panels"] if panel["type"] == "row"]
PANELS = [panel for panel in GRAFANA["panels"] if panel["type"] != "row"]

TARGET = {"job", "instance"}  # Prometheus adds them
OTHERS = {
    "nv_inference_pending_request_count": {"model", "version"},  # Triton's own
    "up": set(),
    "ALERTS": {"alertname", "alertstate", "model"},
}
RECORDED_LABELS = {"model", "slo"}
UNLABELLED = {m.name for m in SUPERVISOR_METRICS if m is not MODEL_UP and m.kind is Kind.GAUGE}
FUNCTIONS = {
    *("sum", "min", "max", "count", "by", "rate", "increase", "and", "or", "on", "unless"),
    *("absent", "scalar", "vector", "group_left", "histogram_quantile", "predict_linear"),
    *("sum_over_time", "min_over_time", "avg_over_time", "label_values"),
}


def _series_of(metric: Metric) -> dict[str, set[str]]:
    own = {"model"} | set(metric.labels)
    if metric in MODEL_METRICS:
        own.add("version")
    if metric.name in UNLABELLED:
        own = set()
    if metric.kind is not Kind.HISTOGRAM:
        return {metric.name: own}
    bucket = {metric.name + "_bucket": own | {"le"}}
    return bucket | {metric.name + suffix: own for suffix in ("_sum", "_count")}


SERIES = {
    name: labels | TARGET
    for known in (
        OTHERS,
        *map(_series_of, (*MODEL_METRICS, *SUPERVISOR_METRICS)),
        {rule["record"]: RECORDED_LABELS for rule in RULES if "record" in rule},
    )
    for name, labels in known.items()
}


def unknown_in(expr: str) -> set[str]:
    """Series that nobody serves, and labels that a series has not, in a PromQL expression."""
    bare = re.sub(r"\b(by|on|group_left) *\([^)]*\)|\[[^]]*\]", "", expr)
    selected = re.findall(r"([a-zA-Z_:][\w:]*) *\{([^}]*)\}", bare)
    names = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"(?![^{]*\})', "", bare))
    named = set(re.findall(r"(?<![\w.$])[a-zA-Z_:][\w:]*", names)) - FUNCTIONS
    found = {name for name in named if name not in SERIES}
    for name, matchers in selected:
        labels = set(re.findall(r"(\w+) *(?:=~|!~|!=|=)", matchers))
        found |= {f"{name}{{{label}}}" for label in labels - SERIES.get(name, labels)}
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby *\(([^)]*)\)", expr)
        for label in labels.split(",")
    }
    possible = set().union(*(SERIES[name] for name in named if name in SERIES))
    return found | {f"by ({label})" for label in grouped - possible}


def test_wrong_names_and_labels_are_found():
    assert unknown_in("sum by (model) (rate(rag_request_totals[5m]))") >= {"rag_request_totals"}
    assert unknown_in('rag_requests_total{result="ok"}') == {"rag_requests_total{result}"}
    assert unknown_in("sum by (shape) (llm_requests_waiting)") == {"by (shape)"}
    assert unknown_in("rag_supervisor_ready{instance='a'} == 0") == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rules_read_metrics_that_exist(rule):
    assert unknown_in(rule["expr"]) == set()


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_panels_read_metrics_that_exist(panel):
    assert [unknown_in(target["expr"]) for target in panel["targets"]] == [
        set() for _ in panel["targets"]
    ]


def test_made_up_series_are_of_metrics_that_exist():
    for test in TESTS:
        for series in test["input_series"]:
            assert unknown_in(series["series"]) == set(), test["name"]


def test_outcomes_of_queries_exist():
    text = RULES_TEXT + json.dumps(GRAFANA).replace('\\"', '"')
    found = {o for found in re.findall(r'outcome=~?"([^"]+)"', text) for o in found.split("|")}
    assert found
    assert found <= set(OUTCOMES)


def test_recorded_series_come_before_the_rules_that_read_them():
    seen: set[str] = set()
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        assert set(re.findall(r"[a-z]+:\w+:\w+", rule["expr"])) <= seen, rule
        seen |= {rule.get("record", "")} & recorded


@pytest.mark.parametrize("sku", ["cpu", "h100-sxm-80gb"])
def test_the_limit_of_the_queue_is_that_of_the_placements(sku):
    (limit,) = (r["expr"] for r in RULES if r.get("record") == "llm:requests_waiting:limit")
    assert limit == f"vector({load_sku(sku).place('llm').parameters['max_waiting_requests']})"


def test_the_objective_of_the_first_token_is_a_bucket():
    assert 1.0 in TIME_TO_FIRST_TOKEN.bounds


@pytest.mark.parametrize("name", ALERTS)
def test_an_alert_has_a_severity_a_runbook_and_tests_of_both_outcomes(name):
    alert = ALERTS[name]
    assert alert["labels"]["severity"] in ("page", "ticket")
    assert alert["annotations"]["summary"]
    path, _, anchor = alert["annotations"]["runbook_url"].partition("#")
    assert (ROOT / path, anchor) == (FOLDER / "README.md", name.lower())
    assert f"\n### {name}\n{alert['labels']['severity'].title()}." in README
    checks = [check for test in TESTS for check in test["alert_rule_test"]]
    outcomes = {bool(check["exp_alerts"]) for check in checks if check["alertname"] == name}
    assert outcomes == {True, False}


def test_the_runbook_has_no_other_alerts():
    assert set(re.findall(r"^### (\w+)$", README, re.MULTILINE)) == set(ALERTS)


def test_the_alert_on_missing_targets_looks_for_the_jobs_that_are_scraped():
    jobs = {job["job_name"] for job in SCRAPES["scrape_configs"]}
    assert set(re.findall(r'job="(\w+)"', ALERTS["TargetMissing"]["expr"])) == jobs
    assert SCRAPES["rule_files"] == ["rules.yml"]


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_a_panel_is_whole(panel):
    assert panel["type"] in ("timeseries", "stat")
    assert panel["description"]
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert all(target["legendFormat"] for target in panel["targets"])
    references = [target["refId"] for target in panel["targets"]]
    assert len(references) == len(set(references)) > 0


def test_the_dashboard_defines_its_variables():
    defined = {variable["name"] for variable in GRAFANA["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(GRAFANA))) | {"datasource"}
    assert used == defined


def test_titles_differ_and_panels_do_not_overlap():
    titles = [panel["title"] for panel in GRAFANA["panels"]]
    assert len(titles) == len(set(titles))
    for one, other in combinations([panel["gridPos"] for panel in GRAFANA["panels"]], 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above, (one, other)
    assert all(p["gridPos"]["x"] + p["gridPos"]["w"] <= 24 for p in GRAFANA["panels"])


def test_the_page_lists_the_rows_of_the_dashboard():
    listed = re.findall(r"^\| ([\w' ]+) \| .*\? ?", README, re.MULTILINE)
    assert [row for row in listed if row != "row"] == [row["title"] for row in ROWS]


def test_the_compose_file_mounts_files_that_exist():
    services = yaml.safe_load((FOLDER / "compose.yml").read_text())["services"]
    for service in services.values():
        assert re.search(r":v?\d+\.\d+\.\d+$", service["image"])
        assert all((FOLDER / mount.split(":")[0]).exists() for mount in service["volumes"])


def test_the_page_of_metrics_has_every_metric_with_kind_and_labels():
    page = (ROOT / "docs/metrics.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+?) \|", page, re.MULTILINE)
    assert rows == [
        (m.name, str(m.kind), ", ".join(f"`{label}`" for label in m.labels) or "–")
        for m in (*MODEL_METRICS, *SUPERVISOR_METRICS)
    ]


@pytest.mark.skipif(not shutil.which("promtool"), reason="`make check-monitoring` needs promtool")
def test_promtool_accepts_the_rules_and_runs_their_tests():
    for arguments in (["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(
            ["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
