"""The headings above a passage: they name its subject, which the passage may not name itself."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from python_backends.sentences import MARKED_HEADING, RULE, Span, is_heading, one_line

_HAS_WORD = re.compile(r"\w")
_LONGEST_PATH = 200
"""Most characters of headings before a passage, as in the client's `ingest`."""
_LONGEST_TITLE = 100
"""Most characters of a title. A longer first line is a paragraph."""
_DIRECTIVE = ".."
"""First characters of a line of reStructuredText that is not shown."""
_UNMARKED = 9
"""The level of headings without a mark, below all that have one."""


@dataclass(frozen=True)
class Outline:
    """Where the headings of a text begin (from 0), and the path of each: those above it, and it."""

    starts: Sequence[int] = (0,)
    paths: Sequence[str] = ("",)

    def above(self, position: int) -> str:
        """Title and headings above the character at `position`, in one line."""
        return self.paths[bisect_right(self.starts, position) - 1]


def in_context(path: Iterable[str], passage: str) -> str:
    """The passage below a line with its title and headings, whose words count like its own."""
    return "\n".join(filter(None, [_one_path(path), passage]))


def _one_path(names: Iterable[str]) -> str:
    return " > ".join(filter(None, dict.fromkeys(names)))[:_LONGEST_PATH]


def outline(text: str, sentences: Iterable[Span]) -> Outline:
    """Title and headings of a text, which are found among its sentences.

    The level of a heading is the number of its `#`, or of the kind of rule below it: the kind that
    comes first in the text is the highest.
    """
    top = _title(text)
    starts, paths = [0], [top]
    opened: list[tuple[int, str]] = []
    rules: list[str] = []
    for span in sentences:
        if is_heading(text, span):
            level = _level(text, span, rules)
            opened = [entry for entry in opened if entry[0] < level]
            opened.append((level, _first_line(text[span[0] : span[0] + _LONGEST_PATH])))
            starts.append(span[0])
            paths.append(_one_path([top, *(heading for _, heading in opened)]))
    return Outline(starts, paths)


def _title(text: str) -> str:
    """The first line with a word, empty where it is long."""
    found = (line for line in text.split("\n", 20) if _HAS_WORD.search(line))
    line = next((line for line in found if not line.startswith(_DIRECTIVE)), "")
    title = _first_line(line)
    return title if len(title) <= _LONGEST_TITLE else ""


def _first_line(text: str) -> str:
    return one_line(text.partition("\n")[0].lstrip("#"))


def _level(text: str, span: Span, rules: list[str]) -> int:
    """The level of a heading; a new kind of rule joins `rules`."""
    if marked := MARKED_HEADING.match(text, span[0]):
        return len(marked[0].rstrip())
    if not (rule := RULE.match(text, span[1])):
        return _UNMARKED
    if rule[1] not in rules:
        rules.append(rule[1])
    return 1 + rules.index(rule[1])
