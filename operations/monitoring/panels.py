"""What a panel is: one definition, drawn by Grafana and by our live dashboard."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from operations.monitoring.queries import Expr, QueryError

_LABEL = re.compile(r"{(\w+)}")
COLUMNS = 24
"""Of Grafana's grid."""


class Unit(StrEnum):
    """Of a panel's values."""

    SECONDS = "s"
    SHARE = "share"
    REQUESTS_PER_S = "requests/s"
    TOKENS_PER_S = "tokens/s"
    TIMES = "x"
    COUNT = ""


class Draw(StrEnum):
    """How a panel shows its series."""

    LINES = "lines"
    STACKED = "stacked"
    NUMBER = "number"


class Level(StrEnum):
    """What it means to be beyond a threshold."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


@dataclass(frozen=True)
class Threshold:
    """From this value on, the panel shows the level."""

    value: float
    level: Level


@dataclass(frozen=True)
class Curve:
    """A query and what its series are called: `{label}` stands for that label's value.

    Raises `QueryError` for labels that the result has not, and where two series would share a name.
    """

    name: str
    expr: Expr

    def __post_init__(self) -> None:
        named = set(_LABEL.findall(self.name))
        if named != self.expr.labels:
            raise QueryError(
                f"the name '{self.name}' has {sorted(named)}, series of '{self.expr.text}' differ "
                f"by {sorted(self.expr.labels)}"
            )

    def name_for(self, labels: dict[str, str]) -> str:
        """Of one series."""
        return self.name.format_map({**dict.fromkeys(self.expr.labels, "?"), **labels})

    @property
    def grafana_name(self) -> str:
        """As Grafana reads it."""
        return _LABEL.sub(r"{{\1}}", self.name)


@dataclass(frozen=True)
class Panel:
    """A title, what it tells, and its curves. `width` is in columns of `COLUMNS`."""

    title: str
    description: str
    unit: Unit
    curves: tuple[Curve, ...]
    draw: Draw = Draw.LINES
    thresholds: tuple[Threshold, ...] = ()
    width: int = 8

    def __post_init__(self) -> None:
        if not self.curves or not self.description:
            raise QueryError(f"panel '{self.title}' needs a description and a query")


@dataclass(frozen=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: tuple[Panel, ...]


def all_panels(rows: tuple[Row, ...]) -> Iterator[Panel]:
    """Of all rows, in order."""
    for row in rows:
        yield from row.panels
