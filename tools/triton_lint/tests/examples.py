"""The examples on the rules' pages, as repositories that can be written and linted.

A file is a line with its path and a fenced block. After "with escapes" the block is one line, in
which `\n` or `\x00` stand for characters. "In both examples" lists files that both share.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from triton_lint.engine import BY_ID
from triton_lint.models import Options
from triton_lint.rule import Rule

FILE = re.compile(r"^`([^`\n]+)`(, with escapes)?\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EMPTY = re.compile(r"^Empty files?: (.*)$", re.MULTILINE)
OPTIONS = re.compile(r"^Options: `([^`]*)`$", re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """A repository, as path to content, and the server that it is checked for."""

    files: Mapping[str, str]
    options: Options


def origin(rule: Rule) -> str:
    """What Triton does, and how that is known: the second paragraph of the page."""
    return rule.page.split("\n\n")[1]


@cache
def examples(rule_id: str) -> tuple[Example, Example]:
    """The reported and the other example of a rule."""
    parts = re.split(r"^## (.*)\n", BY_ID[rule_id].page, flags=re.MULTILINE)
    sections = dict(zip(parts[1::2], parts[2::2], strict=True))
    shared = _files(sections.get("In both examples", ""))
    bad, good = (
        Example(_files(sections[title]) | shared, _options(sections[title]))
        for title in ("Reported", "Not reported")
    )
    return bad, good


def _files(section: str) -> dict[str, str]:
    found = {
        path: _unescaped(content) if escaped else content
        for path, escaped, content in FILE.findall(section)
    }
    for line in EMPTY.findall(section):
        found |= dict.fromkeys(re.findall(r"`([^`]+)`", line), "")
    return found


def _unescaped(line: str) -> str:
    return line.removesuffix("\n").encode("ascii").decode("unicode_escape")


def _options(section: str) -> Options:
    match = OPTIONS.search(section)
    return Options(auto_complete=not match or match[1] != "--disable-auto-complete-config")
