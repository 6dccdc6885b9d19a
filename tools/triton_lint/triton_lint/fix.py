"""Faults with one certain repair: the diff, and the repaired files."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from triton_lint.findings import Finding, printable


@dataclass(frozen=True)
class Repair:
    """A file before and after."""

    path: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        lines = unified_diff(
            self.before.splitlines(), self.after.splitlines(), self.path, self.path, lineterm=""
        )
        return "\n".join(map(printable, lines))

    def write(self) -> None:
        """Put the repaired text in place; raises `OSError`."""
        Path(self.path).write_bytes(self.after.encode("utf-8", "surrogateescape"))


def repairs(findings: Iterable[Finding]) -> list[Repair]:
    """What can be repaired, by file; all else in a file, comments too, stays as it is."""
    by_path: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.replacement is not None:
            by_path.setdefault(finding.path, []).append(finding)
    return [_repair(path, found) for path, found in sorted(by_path.items())]


def _repair(path: str, findings: list[Finding]) -> Repair:
    before = Path(path).read_bytes().decode("utf-8", "surrogateescape")
    text, limit = before, len(before)
    for finding in sorted(findings, key=lambda each: each.at, reverse=True):
        if finding.at.end <= limit:  # overlapping repairs: the last one only
            text = text[: finding.at.start] + (finding.replacement or "") + text[finding.at.end :]
            limit = finding.at.start
    return Repair(path, before, text)
