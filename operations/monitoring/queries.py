"""PromQL made of `Metric` objects: a name, label or bucket that no metric has can't be written.

A query is text with three places left open: `${window}` (of rates), `${model}` and `${version}`
(regular expressions that panels are narrowed by). Grafana fills them with its variables, the live
dashboard with what its page chose; queries of rules name their windows and have none of the three.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template

from ensembles.metrics import Kind, Metric
from operations.monitoring.sources import labels_of, values_of

Where = Mapping[str, str | tuple[str, ...]]
"""Values that labels must have, one or any of several."""

_WINDOW = re.compile(r"[1-9][0-9]*(s|m|h|d)|\$\{window\}")
OPEN_WINDOW = "${window}"
SCOPE_LABELS = ("model", "version")


class QueryError(ValueError):
    """A query asks for what no metric has; the message says what there is."""


@dataclass(frozen=True)
class Scope:
    """What fills the open places of a panel's queries; model and version are expressions."""

    window: str
    model: str = ".*"
    version: str = ".*"


@dataclass(frozen=True)
class Expr:
    """A PromQL expression: its text, the labels of its result, the metrics that it reads."""

    text: str
    labels: frozenset[str]
    metrics: frozenset[Metric]
    joined: bool = False
    """Whether it is made of several by an operator, and needs brackets inside another."""

    def fill(self, scope: Scope) -> str:
        """Its text with no open place."""
        return Template(self.text).substitute(
            window=scope.window, model=scope.model, version=scope.version
        )

    def __truediv__(self, other: "Expr | float") -> "Expr":
        return self._with("/", other)

    def __mul__(self, other: "Expr | float") -> "Expr":
        return self._with("*", other)

    def __sub__(self, other: "Expr | float") -> "Expr":
        return self._with("-", other)

    def __gt__(self, other: "Expr | float") -> "Expr":
        return self._with(">", other)

    def __lt__(self, other: "Expr | float") -> "Expr":
        return self._with("<", other)

    def __and__(self, other: "Expr") -> "Expr":
        return self._with("and", other)

    def __or__(self, other: "Expr") -> "Expr":
        return self._with("or", other)

    def equals(self, value: float) -> "Expr":
        """The series that have the value now."""
        return self._with("==", value)

    def per(self, total: "Expr") -> "Expr":
        """Divided by one number for all series."""
        if total.labels:
            raise QueryError(f"'{total.text}' has labels {sorted(total.labels)}: sum over all")
        text = f"{self._bracketed} / on() group_left() {total._bracketed}"
        return Expr(text, self.labels, self.metrics | total.metrics, joined=True)

    def _with(self, operator: str, other: "Expr | float") -> "Expr":
        if not isinstance(other, Expr):
            text = f"{self._bracketed} {operator} {other:.10g}"
            return Expr(text, self.labels, self.metrics, joined=True)
        if other.labels != self.labels:
            raise QueryError(
                f"'{self.text}' has labels {sorted(self.labels)}, '{other.text}' has "
                f"{sorted(other.labels)}: '{operator}' would match nothing"
            )
        text = f"{self._bracketed} {operator} {other._bracketed}"
        return Expr(text, self.labels, self.metrics | other.metrics, joined=True)

    @property
    def _bracketed(self) -> str:
        return f"({self.text})" if self.joined else self.text


@dataclass(frozen=True)
class Query:
    """Series of one metric; where `scoped`, those that the panel is narrowed to.

    The sums keep the labels of `by`. Raises `QueryError` for labels and values that it has not.
    """

    metric: Metric
    where: Where | None = None
    by: tuple[str, ...] = ()
    scoped: bool = False

    def __post_init__(self) -> None:
        for label in (*self.by, *(self.where or {})):
            self._check_label(label)
        for label, wanted in (self.where or {}).items():
            known = values_of(label)
            unknown = sorted(set(_each(wanted)) - set(known)) if known else []
            if unknown:
                raise QueryError(
                    f"{self.metric.name}: label {label} is never {unknown}, but {sorted(known)}"
                )

    def rate(self, window: str = OPEN_WINDOW) -> Expr:
        """Per second, of a counter."""
        return self._sum("", Kind.COUNTER, window)

    def increase(self, window: str) -> Expr:
        """Within the window, of a counter."""
        return self._sum("", Kind.COUNTER, window, "increase")

    def count_rate(self, window: str = OPEN_WINDOW) -> Expr:
        """Observations of a histogram, per second."""
        return self._sum("_count", Kind.HISTOGRAM, window)

    def count_increase(self, window: str) -> Expr:
        """Observations of a histogram within the window."""
        return self._sum("_count", Kind.HISTOGRAM, window, "increase")

    def sum_rate(self, window: str = OPEN_WINDOW) -> Expr:
        """Sum of what a histogram observed, per second."""
        return self._sum("_sum", Kind.HISTOGRAM, window)

    def mean(self, window: str = OPEN_WINDOW) -> Expr:
        """Of what a histogram observed."""
        return self.sum_rate(window) / self.count_rate(window)

    def quantile(self, share: float, window: str = OPEN_WINDOW) -> Expr:
        """Estimated from a histogram's buckets, over all instances together."""
        self._check_kind(Kind.HISTOGRAM)
        labels = ", ".join((*self.by, "le"))
        buckets = f"rate({self._selector('_bucket')}[{_window(window)}])"
        text = f"histogram_quantile({share:g}, sum by ({labels}) ({buckets}))"
        return self._expr(text)

    def within(self, bound: float, window: str = OPEN_WINDOW) -> Expr:
        """Observations of a histogram up to one of its bounds, per second."""
        self._check_kind(Kind.HISTOGRAM)
        if bound not in self.metric.bounds:
            raise QueryError(
                f"{self.metric.name} has no bucket up to {bound:g}, but {self.metric.bounds}"
            )
        # Pages write 1 or 1.0, and Prometheus 3 turns the one into the other.
        pattern = f"{bound:g}".replace(".", "[.]") + ("([.]0)?" if bound == int(bound) else "")
        selector = self._selector("_bucket", f'le=~"{pattern}"')
        return self._aggregated("sum", f"rate({selector}[{_window(window)}])")

    def now(self, how: str = "sum") -> Expr:
        """Of a gauge: `sum`, `max` or `min` over the instances."""
        self._check_kind(Kind.GAUGE)
        return self._aggregated(how, self._selector())

    def over_time(self, function: str, window: str, how: str = "sum") -> Expr:
        """Of a gauge: a function of its past such as `min_over_time`; `how` joins instances."""
        self._check_kind(Kind.GAUGE)
        return self._aggregated(how, f"{function}({self._selector()}[{_window(window)}])")

    def predicted(self, window: str, ahead_s: int) -> Expr:
        """Of a gauge, summed over the instances: where its trend leads in `ahead_s` seconds."""
        self._check_kind(Kind.GAUGE)
        inner = f"predict_linear({self._selector()}[{_window(window)}], {ahead_s})"
        return self._aggregated("sum", inner)

    def absent(self) -> Expr:
        """1 when there is no such series; it has the labels that `where` gives one value to."""
        text = f"absent({self._selector()})"
        kept = {name for name, value in (self.where or {}).items() if isinstance(value, str)}
        return Expr(text, frozenset(kept), frozenset({self.metric}))

    def _sum(self, suffix: str, kind: Kind, window: str, function: str = "rate") -> Expr:
        self._check_kind(kind)
        return self._aggregated("sum", f"{function}({self._selector(suffix)}[{_window(window)}])")

    def _aggregated(self, how: str, inner: str) -> Expr:
        by = f" by ({', '.join(self.by)})" if self.by else ""
        return self._expr(f"{how}{by} ({inner})" if by else f"{how}({inner})")

    def _expr(self, text: str) -> Expr:
        return Expr(text, frozenset(self.by), frozenset({self.metric}))

    def _selector(self, suffix: str = "", *more: str) -> str:
        matchers = ", ".join((*self._matchers(), *more))
        return self.metric.name + suffix + (f"{{{matchers}}}" if matchers else "")

    def _matchers(self) -> Iterator[str]:
        where = self.where or {}
        for label, wanted in where.items():
            several = not isinstance(wanted, str)
            yield f'{label}{"=~" if several else "="}"{"|".join(_each(wanted))}"'
        for label in SCOPE_LABELS:
            if self.scoped and label in labels_of(self.metric) and label not in where:
                yield f'{label}=~"${{{label}}}"'

    def _check_label(self, label: str) -> None:
        if label not in labels_of(self.metric):
            raise QueryError(
                f"{self.metric.name} has no label '{label}', but {labels_of(self.metric)}"
            )

    def _check_kind(self, kind: Kind) -> None:
        if self.metric.kind is not kind:
            raise QueryError(f"{self.metric.name} is a {self.metric.kind}, not a {kind}")


def _each(wanted: str | tuple[str, ...]) -> tuple[str, ...]:
    return (wanted,) if isinstance(wanted, str) else wanted


def _window(window: str) -> str:
    if not _WINDOW.fullmatch(window):
        raise QueryError(f"'{window}' is no window: write a number and s, m, h or d")
    return window
