"""Findings as text and GitHub annotations."""

from collections.abc import Callable

from triton_lint.engine import Report
from triton_lint.findings import Finding, printable


def as_text(report: Report) -> str:
    """One line a finding, as compilers do, then a summary."""
    lines = [_line(finding) for finding in report.findings]
    return "\n".join([*lines, str(report.summary)])


def _line(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}:{finding.column}"
    text = printable(finding.text)
    return f"{printable(place)}: {finding.severity.value}: {text} [{finding.rule}]"


def as_github(report: Report) -> str:
    """Workflow commands that GitHub shows beside the lines of a change."""
    return "\n".join([*map(_command, report.findings), str(report.summary)])


def _command(finding: Finding) -> str:
    place = (
        f"file={_property(finding.path)},line={finding.line},col={finding.column},"
        f"endLine={finding.end_line},title={finding.rule}"
    )
    return f"::{finding.severity.value} {place}::{_escaped(finding.text)}"


def _escaped(text: str) -> str:
    text = printable(text, keep="\r\n")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


FORMATS: dict[str, Callable[[Report], str]] = {"text": as_text, "github": as_github}
