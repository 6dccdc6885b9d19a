"""What the linter says: problems inside a text, findings with their place in the repository."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from triton_lint.config_tree import Span


class Severity(Enum):
    ERROR = "error"
    """Triton refuses the model."""
    WARNING = "warning"
    """Triton loads the model, and users regret it."""


class Problem(NamedTuple):
    """What a rule found; `rule` is set where one check serves several rules."""

    at: Span
    text: str
    rule: str = ""
    severity: Severity | None = None
    """Where it differs from the rule's."""


@dataclass(frozen=True)
class Finding:
    """A problem with its place."""

    path: str
    line: int
    column: int
    rule: str
    severity: Severity
    model: str
    text: str
    end_line: int = 1

    @property
    def order(self) -> tuple[str, int, int, str, str]:
        """Findings are shown by file and place."""
        return self.path, self.line, self.column, self.rule, self.text


@dataclass(frozen=True)
class Summary:
    """How many findings there are of each kind, in how many models."""

    errors: int
    warnings: int
    models: int

    @classmethod
    def of(cls, findings: Iterable[Finding], models: int) -> "Summary":
        severities = [finding.severity for finding in findings]
        errors = severities.count(Severity.ERROR)
        return cls(errors, len(severities) - errors, models)

    def __str__(self) -> str:
        parts = [f"{self.models:,} model{'s' * (self.models != 1)}"]
        parts.append(f"{self.errors:,} error{'s' * (self.errors != 1)}")
        parts.append(f"{self.warnings:,} warning{'s' * (self.warnings != 1)}")
        return ", ".join(parts)


def printable(text: str, keep: str = "") -> str:
    """The text without broken UTF-8 and control characters, which could trick a terminal."""
    return "".join(
        each
        if (each.isprintable() or each in keep)
        else each.encode("unicode_escape", "surrogatepass").decode("ascii")
        for each in text
    )
