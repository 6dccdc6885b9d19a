"""Service level objectives, and the alerts on how fast their error budgets burn.

Multi-window, multi-burn-rate alerts as in chapter 5 of Google's SRE workbook: a long window says
that enough of the budget is gone, a short one that it still goes. A budget is for 30 days.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ensembles.metrics import REQUESTS, TIME_TO_FIRST_TOKEN
from operations.monitoring.queries import Expr, Query
from operations.monitoring.rules import Alert, Case, Group, Recording, Sample, Severity, sample

WINDOWS_S = {
    **{"5m": 300, "30m": 1800, "1h": 3600, "2h": 7200, "6h": 21600},
    **{"1d": 86400, "3d": 259200},
}
MIN_BAD_REQUESTS = 3
"""Within the long window: a single failure on a quiet night burns a high share of few requests."""


@dataclass(frozen=True)
class Burn:
    """A rate of burning that alerts: `times` the one that ends the budget with the 30 days."""

    times: float
    long: str
    short: str


FAST = (Burn(14.4, "1h", "5m"), Burn(6, "6h", "30m"))
SLOW = (Burn(3, "1d", "2h"), Burn(1, "3d", "6h"))


@dataclass(frozen=True)
class Phase:
    """A stretch of made-up traffic: requests a minute."""

    bad: int
    good: int
    minutes: int


@dataclass(frozen=True)
class Slo:
    """An objective: the share of requests that have to be good, by model.

    `bad` and `total` give requests per second over a window. `series` makes test data, which the
    alerts show with `labels`.
    """

    name: str
    alert: str
    objective: float
    bad: Callable[[str], Expr]
    total: Callable[[str], Expr]
    promise: str
    action: str
    series: Callable[[tuple[Phase, ...]], tuple[Sample, ...]]
    labels: tuple[tuple[str, str], ...]

    def recording(self, window: str) -> Recording:
        """The share of bad requests over a window."""
        bad, total = self.bad(window), self.total(window)
        return Recording(f"model:{self.name}:bad_ratio_{window}", (bad | (total * 0)) / total)

    @property
    def budget(self) -> float:
        """The share of requests that may be bad."""
        return round(1 - self.objective, 9)

    def burning(self, burns: tuple[Burn, ...]) -> Expr:
        """Models whose budget burns at one of the rates."""
        first, *others = (self._burns(burn) for burn in burns)
        for other in others:
            first = first | other
        return first

    def _burns(self, burn: Burn) -> Expr:
        limit = burn.times * self.budget
        long, short = (self.recording(window).read() > limit for window in (burn.long, burn.short))
        enough = (self.bad(burn.long) * WINDOWS_S[burn.long]) > MIN_BAD_REQUESTS - 0.5
        return long & short & enough


def _requests(*outcomes: str) -> Query:
    return Query(REQUESTS, {"outcome": outcomes}, ("model",))


def _outcome_series(phases: tuple[Phase, ...]) -> tuple[Sample, ...]:
    labels = {"model": "rag_cancellable", "version": "1"}
    return (
        sample(
            REQUESTS, _counter([(p.bad, p.minutes) for p in phases]), outcome="failed", **labels
        ),
        sample(REQUESTS, _counter([(p.good, p.minutes) for p in phases]), outcome="ok", **labels),
    )


AVAILABILITY = Slo(
    "availability",
    "AvailabilityBudgetBurns",
    0.999,
    _requests("failed", "overloaded").rate,
    _requests("ok", "failed", "overloaded").rate,
    "99.9 % of requests that are valid and not given up by their client are served",
    "Look at 'Requests by outcome' to see whether requests fail (a fault: read the tritonserver "
    "log, see whether the supervisor reloads the model) or are refused (overload: see 'Running "
    "and waiting', add replicas or shed load).",
    _outcome_series,
    (("model", "rag_cancellable"),),
)

TTFT_BOUND_S = 1.0
_FIRST_TOKENS = Query(TIME_TO_FIRST_TOKEN, by=("model",))


def _slow_first_tokens(window: str) -> Expr:
    return _FIRST_TOKENS.count_rate(window) - _FIRST_TOKENS.within(TTFT_BOUND_S, window)


def _ttft_series(phases: tuple[Phase, ...]) -> tuple[Sample, ...]:
    labels = {"model": "llm", "version": "1"}
    good = _counter([(p.good, p.minutes) for p in phases])
    both = _counter([(p.good + p.bad, p.minutes) for p in phases])
    return (
        sample(TIME_TO_FIRST_TOKEN, both, "_count", **labels),
        sample(TIME_TO_FIRST_TOKEN, good, "_bucket", le=f"{TTFT_BOUND_S:g}", **labels),
        sample(TIME_TO_FIRST_TOKEN, both, "_bucket", le="+Inf", **labels),
    )


TTFT = Slo(
    "ttft",
    "TtftBudgetBurns",
    0.99,
    _slow_first_tokens,
    _FIRST_TOKENS.count_rate,
    f"99 % of requests to `llm` have their first token within {TTFT_BOUND_S:g} s",
    "Look at 'Where the time of `llm` goes': queue means more requests than the batch holds (add "
    "replicas or shed load), prefill means longer prompts, decode does not count here.",
    _ttft_series,
    (("model", "llm"),),
)

SLOS = (AVAILABILITY, TTFT)


def groups() -> Iterator[Group]:
    """One for each objective: its shares over all windows, then its alerts."""
    for slo in SLOS:
        recordings = tuple(slo.recording(window) for window in WINDOWS_S)
        yield Group(f"slo_{slo.name}", recordings, (_fast(slo), _slow(slo)))


def _fast(slo: Slo) -> Alert:
    return Alert(
        f"{slo.alert}Fast",
        Severity.PAGE,
        slo.burning(FAST),
        "2m",
        f"{{model}} burns its {slo.name} budget of 30 days within 5 days or sooner",
        f"Promise: {slo.promise}. At this rate (14.4 times the allowed one over 1 h, or 6 times "
        "over 6 h) the budget is gone within 2 to 5 days.",
        slo.action,
        _cases(slo, fires=80, quiet=2, minutes=30, recovers=40),
    )


def _slow(slo: Slo) -> Alert:
    return Alert(
        f"{slo.alert}Slowly",
        Severity.TICKET,
        slo.burning(SLOW),
        "1h",
        f"{{model}} will use up its {slo.name} budget of 30 days",
        f"Promise: {slo.promise}. Over 1 day 3 times as many requests as allowed were bad, or over "
        "3 days more than allowed: nothing is on fire, but the month will miss its objective.",
        slo.action,
        _cases(slo, fires=4, quiet=0.8, minutes=90, recovers=380),
    )


def _cases(slo: Slo, fires: float, quiet: float, minutes: int, recovers: int) -> tuple[Case, ...]:
    """Bad requests at that many times the allowed rate, or over since so many minutes, or fewer."""
    burns, calm = (_phase(slo, times, minutes) for times in (fires, quiet))
    over = (burns, _phase(slo, 0, recovers))
    at = f"{minutes - 1}m"
    return (
        Case(f"{fires:g} times the allowed rate", slo.series((burns,)), at, (dict(slo.labels),)),
        Case("the same, but over", slo.series(over), f"{minutes + recovers - 1}m"),
        Case(f"{quiet:g} times the allowed rate", slo.series((calm,)), at),
        Case("no requests at all", slo.series((Phase(0, 0, minutes),)), at),
    )


def _phase(slo: Slo, times: float, minutes: int) -> Phase:
    bad = round(10_000 * slo.budget * times)
    return Phase(bad, 10_000 - bad, minutes)


def _counter(steps: Iterable[tuple[int, int]]) -> str:
    """Promtool's notation of a counter that grows by so much a minute, for so many minutes."""
    parts, value = [], 0
    for step, minutes in steps:
        parts.append(f"{value}+{step}x{minutes - 1}")
        value += step * minutes
    return " ".join(parts)
