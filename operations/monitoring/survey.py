"""Every query of panels and rules, run against a Prometheus that has data of a real run."""

from collections.abc import Iterator
from dataclasses import dataclass

from ensembles.metrics import SUPERVISOR_METRICS, Metric
from operations.monitoring.alerts import GROUPS
from operations.monitoring.panels import all_panels
from operations.monitoring.prometheus import Api
from operations.monitoring.queries import Expr, Scope
from operations.monitoring.rows import ROWS
from operations.monitoring.sources import UP

_SCOPE = Scope("10m")
_HEAD = """# Every query, run

Written by `python -m operations.monitoring.check_rules --survey URL` against the Prometheus of
`make dashboard` during a real run; rates of panels over 10 minutes. Prometheus {version},
{filled} of {all} queries gave series.

| of | series | query |
|---|---|---|
"""


@dataclass(frozen=True)
class Answer:
    """A query, who asks it, how many series it gave, and why none where there are none."""

    user: str
    query: str
    series: int
    reason: str = ""


@dataclass(frozen=True)
class Survey:
    """All answers of one Prometheus."""

    version: str
    answers: tuple[Answer, ...]


def survey(api: Api) -> Survey:
    """Raises `PrometheusError` for a query that Prometheus does not take."""
    return Survey(
        api.get("status/buildinfo")["version"],
        tuple(_answer(api, user, expr, is_alert) for user, expr, is_alert in _queries()),
    )


def _queries() -> Iterator[tuple[str, Expr, bool]]:
    for panel in all_panels(ROWS):
        for curve in panel.curves:
            yield f"panel {panel.title}", curve.expr, False
    for group in GROUPS:
        for recording in group.recordings:
            yield f"rule {recording.name}", recording.expr, False
        for alert in group.alerts:
            yield f"alert {alert.name}", alert.expr, True


def _answer(api: Api, user: str, expr: Expr, is_alert: bool) -> Answer:
    query = expr.fill(_SCOPE)
    found = len(api.now(query))
    return Answer(user, query, found, "" if found else _reason(api, expr.metrics, is_alert))


def _reason(api: Api, metrics: frozenset[Metric], is_alert: bool) -> str:
    missing = sorted(
        each.name for each in metrics if not api.now(f'{{__name__=~"{_names(each)}"}}')
    )
    if not missing:
        return "nothing wrong now" if is_alert else "no such requests in the window"
    supervisor = {each.name for each in SUPERVISOR_METRICS}
    if set(missing) <= supervisor:
        return "no supervisor was scraped"
    return f"not on any page: {', '.join(missing)}"


def _names(metric: Metric) -> str:
    return metric.name if metric is UP else f"{metric.name}(_count)?"


def survey_page(found: Survey) -> str:
    """As Markdown."""
    filled = sum(answer.series > 0 for answer in found.answers)
    head = _HEAD.format(version=found.version, filled=filled, all=len(found.answers))
    return head + "".join(_line(answer) for answer in found.answers)


def _line(answer: Answer) -> str:
    count = str(answer.series) if answer.series else f"0: {answer.reason}"
    query = answer.query.replace("|", "\\|")
    return f"| {answer.user} | {count} | `{query}` |\n"
