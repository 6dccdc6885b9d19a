"""Faults with one repair: each is tried on a copy, and kept where it makes the findings fewer."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from triton_lint.engine import Report
from triton_lint.findings import Finding, printable
from triton_lint.models import MAX_CONFIG_BYTES
from triton_lint.reading import read_file

Lint = Callable[[Mapping[str, str]], Report]
"""Checks everything, with texts in place of files."""


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
        """Put the repaired text in place, whole or not at all; raises `OSError`."""
        path = Path(self.path).resolve()
        if read_file(path, MAX_CONFIG_BYTES) != _bytes(self.before):
            raise OSError(0, "it has changed in the meantime")
        new = path.with_name(f".{path.name[:200]}.{os.getpid()}")
        try:
            new.write_bytes(_bytes(self.after))
            shutil.copymode(path, new)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def repairs(lint: Lint, unsafe: Collection[str] = ()) -> list[Repair]:
    """What can be repaired, by file; all else in a file, comments too, stays as it is.

    `unsafe` names rules whose repairs are wanted although something else may have been meant.
    """
    texts: dict[str, str] = {}
    report, refused = lint(texts), set[tuple[str, ...]]()
    while faults := _repairable(report, unsafe, refused):
        in_first_file = [each for each in faults if each.path == faults[0].path]
        for some in (faults, in_first_file, faults[:1]):
            changed = texts | _repaired(texts, some)
            after = lint(changed)
            if _is_better(report, after):
                texts, report = changed, after
                break
        else:
            refused.add(_key(faults[0]))
    return [Repair(path, _read(path), text) for path, text in sorted(texts.items())]


def _repairable(
    report: Report, unsafe: Collection[str], refused: set[tuple[str, ...]]
) -> list[Finding]:
    """The faults of which no repair was refused before."""
    return [
        each
        for each in report.findings
        if each.replacement is not None
        and (each.is_safe or each.rule in unsafe)
        and _key(each) not in refused
    ]


def _repaired(texts: Mapping[str, str], faults: list[Finding]) -> dict[str, str]:
    """The texts of the files of some faults, with the repairs made."""
    found: dict[str, str] = {}
    for path in {each.path for each in faults}:
        text = texts[path] if path in texts else _read(path)
        found[path] = _changed(text, [each for each in faults if each.path == path])
    return found


def _key(finding: Finding) -> tuple[str, ...]:
    """A finding wherever it stands, as repairs move what follows them."""
    return finding.path, finding.rule, finding.text


def _is_better(before: Report, after: Report) -> bool:
    """Whether some findings are gone and none is new."""
    old, new = (Counter(map(_key, report.findings)) for report in (before, after))
    return new < old


def _changed(text: str, faults: Iterable[Finding]) -> str:
    """With the repairs made from the end to the beginning; of two that overlap, only the later."""
    limit = len(text)
    for each in sorted(faults, key=lambda each: each.at, reverse=True):
        if each.at.end <= limit:
            rest = text[each.at.end :]
            if each.replacement == "":  # a field goes with the comma or semicolon after it
                rest = re.sub(r"^[ \t]*[,;]", "", rest)
            text = text[: each.at.start] + (each.replacement or "") + rest
            limit = each.at.start
    return text


def _read(path: str) -> str:
    return read_file(Path(path), MAX_CONFIG_BYTES).decode("utf-8", "surrogateescape")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
