"""Findings of the last run, so that a few faults can be done again and the others' rows stay."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from tests.chaos.scenario import Finding, Scenario

Found = Sequence[tuple[Scenario, Finding]]


def save(path: Path, findings: Mapping[str, Finding]) -> None:
    """Write them, by the names of their scenarios."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps({name: asdict(one) for name, one in findings.items()}, indent=1),
        encoding="utf-8",
    )


def load(path: Path) -> dict[str, Finding]:
    """What `save` wrote; nothing where it wrote nothing."""
    if not path.exists():
        return {}
    return {
        name: _finding(one) for name, one in json.loads(path.read_text(encoding="utf-8")).items()
    }


def _finding(fields: Mapping[str, object]) -> Finding:
    lists = {k: tuple(v) for k, v in fields.items() if isinstance(v, list)}
    return Finding(**(dict(fields) | lists))  # type: ignore[arg-type]


def merged(new: Found, old: Mapping[str, Finding], every: Sequence[Scenario]) -> Found:
    """In the order of `every`: the new findings, and the old ones of faults not done again."""
    findings = dict(old) | {s.name: one for s, one in new}
    return [(s, findings[s.name]) for s in every if s.name in findings]
