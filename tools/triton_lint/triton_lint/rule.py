"""A rule: its id, its severity and its check. What it means is on its page (`pages.py`)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from triton_lint.findings import Problem, Severity
from triton_lint.models import Model
from triton_lint.pages import Page, read_page
from triton_lint.repository import Repository

ERROR, WARNING = Severity.ERROR, Severity.WARNING

Check = Callable[[Model, Repository], Iterable[Problem]]


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong."""

    id: str
    severity: Severity
    check: Check | None = None
    """None where the fault is found elsewhere, such as while the file is read."""
    is_opinion: bool = False
    """Whether one may well see it otherwise: it is reported only when it is asked for."""
    each_alone: bool = False
    """Whether each input and output is judged by itself, so that a fault in one hides no other."""

    @property
    def page(self) -> Page:
        return read_page(self.id)


def check(rule_id: str, severity: Severity, each_alone: bool = False) -> Callable[[Check], Rule]:
    """Make a function the check of a rule."""
    return lambda function: Rule(rule_id, severity, function, each_alone=each_alone)


def opinion(rule_id: str) -> Callable[[Check], Rule]:
    """Make a function the check of a rule that has to be asked for."""
    return lambda function: Rule(rule_id, WARNING, function, is_opinion=True)
