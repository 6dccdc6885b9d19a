"""Findings as text, JSON, SARIF and GitHub annotations."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from triton_lint.catalogue import BY_ID, RULES
from triton_lint.engine import Report
from triton_lint.findings import Finding, Severity


def as_text(report: Report) -> str:
    """One line a finding, as compilers do, then a summary."""
    lines = [_line(finding) for finding in report.findings]
    return "\n".join([*lines, str(report.summary)])


def _line(finding: Finding) -> str:
    place = f"{finding.path}:{finding.line}:{finding.column}"
    text = printable(finding.text)
    return f"{printable(place)}: {finding.severity.value}: {text} [{finding.rule}]"


def as_json(report: Report) -> str:
    """One object: findings and counts."""
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
        "docs": BY_ID[finding.rule].url,
    }


def as_github(report: Report) -> str:
    """Workflow commands that GitHub shows beside the lines of a change."""
    return "\n".join([*map(_command, report.findings), str(report.summary)])


def _command(finding: Finding) -> str:
    place = (
        f"file={_property(finding.path)},line={finding.line},col={finding.column},"
        f"endLine={finding.end_line},title={finding.rule}"
    )
    text = f"{finding.text} ({BY_ID[finding.rule].url})"
    return f"::{finding.severity.value} {place}::{_escaped(text)}"


def _escaped(text: str) -> str:
    text = printable(text, keep="\r\n")
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def as_sarif(report: Report) -> str:
    """SARIF 2.1.0, which code scanning tools read."""
    used = sorted({finding.rule for finding in report.findings})
    driver = {
        "name": "triton_rag lint",
        "rules": [_sarif_rule(name) for name in used],
    }
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
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why}\n\n{rule.url}, or: triton-rag lint --explain {rule.id}"},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _sarif_result(finding: Finding, used: list[str]) -> dict[str, Any]:
    region = {
        "startLine": finding.line,
        "startColumn": finding.column,
        "endLine": finding.end_line,
        "endColumn": finding.end_column,
    }
    location = {
        "artifactLocation": {"uri": printable(finding.path).replace("\\", "/")},
        "region": region,
    }
    return {
        "ruleId": finding.rule,
        "ruleIndex": used.index(finding.rule),
        "level": finding.severity.value,
        "message": {"text": printable(finding.text)},
        "locations": [{"physicalLocation": location}],
    }


FORMATS: dict[str, Callable[[Report], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "github": as_github,
}


def explain(name: str) -> str:
    """A rule's page as text; raises `KeyError` with what is possible."""
    rule = BY_ID.get(name.upper())
    if rule is None:
        raise KeyError(f"there is no rule {name}: {', '.join(rule.id for rule in RULES)}")
    return "\n".join(_page(rule.id))


def _page(name: str) -> Iterator[str]:
    rule = BY_ID[name]
    refused = "Triton refuses the model" if rule.severity is Severity.ERROR else "Triton loads it"
    yield f"{rule.id}: {rule.title} ({rule.severity.value}: {refused})"
    yield ""
    yield rule.why
    for label, example in (("bad", rule.bad), ("good", rule.good)):
        yield ""
        yield f"{label}:"
        for path, content in sorted(example.all_files().items()):
            if content and path.endswith((".pbtxt", ".py", "manifest.json")):
                yield f"  # {path}"
                yield from (f"  {printable(line)}" for line in content.splitlines())
    yield ""
    yield (
        f"known from: Triton {rule.seen}" if rule.seen[0].isdigit() else f"known from: {rule.seen}"
    )
    yield rule.url


def printable(text: str, keep: str = "") -> str:
    """Without control characters, which could trick a terminal, and without broken UTF-8."""
    return "".join(
        each
        if (each.isprintable() or each in keep)
        else each.encode("unicode_escape", "surrogatepass").decode("ascii")
        for each in text
    )
