"""What the page of the live dashboard draws: the panels' series, alerts and targets, as JSON."""

import time
from dataclasses import asdict, dataclass

from operations.monitoring.panels import Panel, Row
from operations.monitoring.prometheus import Api
from operations.monitoring.queries import Scope

MAX_POINTS = 240
"""Of a curve: about one for each two pixels."""


@dataclass(frozen=True)
class Line:
    """A curve's series; points are (Unix time in seconds, value)."""

    name: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class Drawn:
    """A panel with its series."""

    title: str
    description: str
    unit: str
    draw: str
    width: int
    thresholds: tuple[tuple[float, str], ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class DrawnRow:
    """Panels under one heading."""

    title: str
    panels: tuple[Drawn, ...]


@dataclass(frozen=True)
class ActiveAlert:
    """An alert that is pending or fires."""

    name: str
    state: str
    severity: str
    summary: str
    runbook: str


@dataclass(frozen=True)
class Target:
    """A scraped process."""

    job: str
    address: str
    health: str
    error: str


@dataclass(frozen=True)
class Snapshot:
    """Everything on the page. Times in Unix seconds."""

    start: float
    end: float
    step_s: float
    rows: tuple[DrawnRow, ...]
    alerts: tuple[ActiveAlert, ...]
    targets: tuple[Target, ...]

    def as_json(self) -> object:
        """For `json.dumps`."""
        return asdict(self)


@dataclass(frozen=True)
class View:
    """What to show: the last `span_s` seconds, rates over `window_s`."""

    span_s: float
    window_s: int
    scrape_s: int


def snapshot(api: Api, rows: tuple[Row, ...], view: View) -> Snapshot:
    """Asks Prometheus for everything; raises `PrometheusError`."""
    # Whole steps: the points of one refresh are those of the next, and curves don't wobble.
    step = max(view.scrape_s, round(view.span_s / MAX_POINTS))
    end = time.time() // step * step
    start = end - view.span_s
    drawn = tuple(
        DrawnRow(
            row.title, tuple(_drawn(api, panel, view, start, end, step) for panel in row.panels)
        )
        for row in rows
    )
    return Snapshot(start, end, step, drawn, _alerts(api), _targets(api))


def _drawn(api: Api, panel: Panel, view: View, start: float, end: float, step: float) -> Drawn:
    scope = Scope(f"{max(view.window_s, 2 * round(step))}s")
    lines = [
        Line(curve.name_for(series.labels), series.points)
        for curve in panel.curves
        for series in api.range(curve.expr.fill(scope), start, end, step)
        if series.points
    ]
    thresholds = tuple((each.value, str(each.level)) for each in panel.thresholds)
    return Drawn(
        panel.title,
        panel.description,
        str(panel.unit),
        str(panel.draw),
        panel.width,
        thresholds,
        tuple(sorted(lines, key=lambda line: line.name)),
    )


def _alerts(api: Api) -> tuple[ActiveAlert, ...]:
    found = [
        ActiveAlert(
            each["labels"]["alertname"],
            each["state"],
            each["labels"]["severity"],
            each["annotations"]["summary"],
            each["annotations"]["runbook_url"],
        )
        for each in api.get("alerts")["alerts"]
    ]
    return tuple(sorted(found, key=lambda alert: (alert.state, alert.name, alert.summary)))


def _targets(api: Api) -> tuple[Target, ...]:
    return tuple(
        Target(each["labels"]["job"], each["labels"]["instance"], each["health"], each["lastError"])
        for each in api.get("targets")["activeTargets"]
    )
