"""Findings as text, JSON, SARIF and GitHub annotations."""

import json
import os
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from triton_lint.catalogue import BY_ID
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


def as_json(report: Report) -> str:
    found = {
        "findings": [_as_object(finding) for finding in report.findings],
        "models": report.summary.models,
        "errors": report.summary.errors,
        "warnings": report.summary.warnings,
    }
    return json.dumps(found, indent=2)


def _as_object(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule,
        "severity": finding.severity.value,
        "model": printable(finding.model),
        "path": printable(finding.path),
        "line": finding.line,
        "column": finding.column,
        "end_line": finding.end_line,
        "end_column": finding.end_column,
        "message": printable(finding.text),
    }


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


def as_sarif(report: Report) -> str:
    """SARIF 2.1.0, which code scanning tools read."""
    used = sorted({finding.rule for finding in report.findings})
    driver = {"name": "triton-lint", "rules": [_sarif_rule(name) for name in used]}
    run = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(finding, used) for finding in report.findings],
    }
    schema = "https://json.schemastore.org/sarif-2.1.0.json"
    return json.dumps({"$schema": schema, "version": "2.1.0", "runs": [run]}, indent=2)


def _sarif_rule(name: str) -> dict[str, Any]:
    rule = BY_ID[name]
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "helpUri": rule.page_path.as_uri(),
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.page, "markdown": rule.page},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _sarif_result(finding: Finding, used: list[str]) -> dict[str, Any]:
    region = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    location = {"artifactLocation": {"uri": _uri(finding.path)}, "region": region}
    return {
        "ruleId": finding.rule,
        "ruleIndex": used.index(finding.rule),
        "level": finding.severity.value,
        "message": {"text": printable(finding.text)},
        "locations": [{"physicalLocation": location}],
    }


def _uri(path: str) -> str:
    """A path as a URI: relative ones stay so, as code scanning wants them."""
    prefix = "file://" if path.startswith("/") else ""
    return prefix + quote(os.fsencode(os.path.normpath(path)))


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}
