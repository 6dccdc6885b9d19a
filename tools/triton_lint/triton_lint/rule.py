"""A rule: its id, its severity and its check; what it means is on its page (`pages/<id>.md`)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from triton_lint.findings import Problem, Severity
from triton_lint.models import Model
from triton_lint.repository import Repository

PAGES = Path(__file__).resolve().parent / "pages"

ERROR, WARNING = Severity.ERROR, Severity.WARNING

Check = Callable[[Model, Repository], Iterable[Problem]]


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong."""

    id: str
    severity: Severity
    check: Check | None = None
    """None where the fault is found elsewhere, such as while the file is read."""

    @cached_property
    def page(self) -> str:
        """`# ID: title`, severity and origin, the reason, then the examples."""
        return (PAGES / f"{self.id}.md").read_text(encoding="utf-8")

    @property
    def title(self) -> str:
        return self.page.partition("\n")[0].partition(": ")[2]


def check(rule_id: str, severity: Severity) -> Callable[[Check], Rule]:
    """Make a function the check of a rule."""
    return lambda function: Rule(rule_id, severity, function)
