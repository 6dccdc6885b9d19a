"""The generated part of docs/: the page on dashboards, and what Prometheus and Grafana read.

Part of `make render`; `make check` fails when they are stale.
"""

from collections.abc import Iterator
from pathlib import Path

from builders.spec import ROOT
from operations.monitoring.alerts import GROUPS
from operations.monitoring.grafana import grafana_json
from operations.monitoring.panels import Panel, all_panels
from operations.monitoring.rows import ROWS
from operations.monitoring.rule_files import (
    RULES,
    SCRAPES,
    TESTS,
    default_targets,
    rules_yaml,
    scrapes_yaml,
    tests_yaml,
)
from operations.monitoring.rules import Alert, all_alerts
from operations.monitoring.slo import MIN_BAD_REQUESTS, SLOS

FOLDER = ROOT / "docs" / "observability"
GRAFANA = "grafana.json"
PAGE = "dashboards.md"
TEMPLATE = Path(__file__).with_name("dashboards.md")


def documents() -> dict[str, str]:
    """Text by path in docs/."""
    return {
        PAGE: _page(),
        f"{FOLDER.name}/{GRAFANA}": grafana_json(ROWS),
        f"{FOLDER.name}/{RULES}": rules_yaml(GROUPS),
        f"{FOLDER.name}/{TESTS}": tests_yaml(GROUPS),
        f"{FOLDER.name}/{SCRAPES}": scrapes_yaml(default_targets()),
    }


def _page() -> str:
    panels, alerts = list(all_panels(ROWS)), list(all_alerts(GROUPS))
    places = {
        "{{objectives}}": "\n".join(f"- {slo.promise}." for slo in SLOS),
        "{{min_bad}}": str(MIN_BAD_REQUESTS),
        "{{overview}}": "\n".join(_overview()),
        "{{alerts}}": "\n".join(map(_alert, alerts)),
        "{{panels}}": "\n".join(map(_panel, panels)),
        "{{counts}}": f"{len(panels)} panels, {len(alerts)} alerts",
    }
    text = TEMPLATE.read_text()
    for place, content in places.items():
        text = text.replace(place, content)
    return text


def _overview() -> Iterator[str]:
    yield "| alert | severity | after |"
    yield "|---|---|---|"
    for alert in all_alerts(GROUPS):
        yield f"| [{alert.name}](#{alert.name.lower()}) | {alert.severity} | {alert.for_} |"


def _alert(alert: Alert) -> str:
    cases = "; ".join(f"{case.name} ({_fires(bool(case.firing))})" for case in alert.cases)
    return (
        f"### {alert.name}\n\n"
        f"{alert.severity}, after {alert.for_}. {alert.meaning}\n\n"
        f"**What to do.** {alert.action}\n\n"
        f"```\n{alert.expr.text}\n```\n\n"
        f"Tested: {cases}.\n"
    )


def _fires(firing: bool) -> str:
    return "fires" if firing else "quiet"


def _panel(panel: Panel) -> str:
    return f"| {panel.title} | {panel.unit or 'count'} | {panel.description} |"
