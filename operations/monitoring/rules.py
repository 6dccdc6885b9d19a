"""Recording rules and alerts: what they are made of. Which ones there are: slo.py and alerts.py."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from ensembles.metrics import Metric
from operations.monitoring.queries import Expr, QueryError
from operations.monitoring.sources import labels_of, values_of

RUNBOOK = "docs/dashboards.md"
_DURATION = re.compile(r"[0-9]+[smhd]")
_LABEL = re.compile(r"{(\w+)}")


class Severity(StrEnum):
    """Who has to look at it, and when."""

    PAGE = "page"
    TICKET = "ticket"


@dataclass(frozen=True)
class Recording:
    """A series that Prometheus computes ahead, named level:metric:operation."""

    name: str
    expr: Expr

    def read(self) -> Expr:
        """The series, for use in alerts."""
        return Expr(self.name, self.expr.labels, self.expr.metrics)


@dataclass(frozen=True)
class Sample:
    """A made-up series of one value a minute, in promtool's notation (`0+1x60`).

    Raises `QueryError` for labels that the metric has not.
    """

    metric: Metric
    values: str
    labels: tuple[tuple[str, str], ...] = ()
    suffix: str = ""

    def __post_init__(self) -> None:
        for label, value in self.labels:
            known = ("le", *labels_of(self.metric))
            possible = values_of(label) or (value,)
            if label not in known or value not in possible:
                raise QueryError(f"{self.metric.name} has no series with {label}='{value}'")

    @property
    def series(self) -> str:
        """Name and labels."""
        pairs = ", ".join(f'{label}="{value}"' for label, value in self.labels)
        return f"{self.metric.name}{self.suffix}{{{pairs}}}"


def sample(metric: Metric, values: str, suffix: str = "", **labels: str) -> Sample:
    """`Sample` with its labels as keywords."""
    return Sample(metric, values, tuple(labels.items()), suffix)


@dataclass(frozen=True)
class Case:
    """A made-up past, and the label sets for which the alert fires at its minute `at`."""

    name: str
    samples: tuple[Sample, ...]
    at: str
    firing: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True)
class Alert:
    """An alert, what to do about it, and the cases that it is tested by.

    `{label}` in `summary` stands for that label of the series; raises `QueryError` where the
    expression has none. `meaning` and `action` are what the runbook says.
    """

    name: str
    severity: Severity
    expr: Expr
    for_: str
    summary: str
    meaning: str
    action: str
    cases: tuple[Case, ...]

    def __post_init__(self) -> None:
        if not _DURATION.fullmatch(self.for_):
            raise QueryError(f"{self.name}: '{self.for_}' is no duration")
        if unknown := set(_LABEL.findall(self.summary)) - self.expr.labels:
            raise QueryError(f"{self.name}: the summary names {unknown}, not in the expression")
        if not any(case.firing for case in self.cases) or all(case.firing for case in self.cases):
            raise QueryError(f"{self.name}: needs a case that fires and one that does not")

    @property
    def runbook(self) -> str:
        """Where the documentation says what to do."""
        return f"{RUNBOOK}#{self.name.lower()}"

    def summary_for(self, labels: dict[str, str]) -> str:
        """As Prometheus fills it."""
        return self.summary.format_map(labels)

    def summary_template(self) -> str:
        """As Prometheus reads it."""
        return _LABEL.sub(r"{{ $labels.\1 }}", self.summary)

    @property
    def description(self) -> str:
        """What it means and what to do, for the message itself."""
        return f"{self.meaning} {self.action}"


@dataclass(frozen=True)
class Group:
    """Rules that Prometheus evaluates together, in order."""

    name: str
    recordings: tuple[Recording, ...] = ()
    alerts: tuple[Alert, ...] = ()


def all_alerts(groups: tuple[Group, ...]) -> Iterator[Alert]:
    """Of all groups, in order."""
    for group in groups:
        yield from group.alerts
