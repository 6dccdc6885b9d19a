"""Finds settings in a text (keys with values, below comments), and options of commands."""

import re
from collections.abc import Sequence
from itertools import dropwhile

_KEY = r"(?:[\w.\-/\"'$@]|\[[^\[\]\n]*\])+"
_ASSIGNMENT = re.compile(
    r"(?:-[ \t]+)?(?:\[[^\[\]\n]+\][ \t]+)?(?:"  # after its section, as `ingest` writes it
    rf"(?:[#;][ \t]?)?{_KEY}[ \t]*[:+?]?=(?!=)|(?![A-Z][a-z]+:){_KEY}:(?:[ \t]|$))"
)
"""`key = value`, `# key = value` and `key: value`. A word with a capital and a colon is prose."""
_ENDS = (";", "{")
"""The end of a line of `directive value;`, and of the first line of a block."""
_COMMENTS = ("#", "//", ";", "-- ")
_MARK = re.compile(r"(?:#+|//+|;+|--+)[-=*# \t]*$")
"""A comment without words."""
_CLOSING = re.compile(r"[\])}]+[;,]?$")
_SENTENCES = re.compile(r"[^.][.!?][\"')]*\s+[A-Z]")
_MOST_OTHERS = 0.25
"""Largest share of lines that are neither settings nor comments, such as those of a long value."""
_OPTION = re.compile(r"-{1,2}[A-Za-z\d?#][\w-]*(?=[ \t,=\[:]|$)")
_SECTION = re.compile(r"\[[^\[\]\n]+\](?=[ \t])")


def is_setting(text: str) -> bool:
    """Whether a block of lines is a setting, maybe with comments above it, and not prose."""
    told = list(dropwhile(_is_comment, map(str.strip, text.strip("\n").split("\n"))))
    return bool(told) and _is_assigned(told[0]) and not _SENTENCES.search("\n".join(told))


def are_beside(setting: str, other: str, is_indented: bool) -> bool:
    """Whether two sentences are settings with the same section or path in their names, or, where
    they name none, with the same indentation."""
    if not (is_setting(setting) and is_setting(other)):
        return False
    path = _path(setting)
    return _path(other).startswith(path) if path else is_indented


def _path(setting: str) -> str:
    """The section or path that a setting names; empty where it names none."""
    told = next(dropwhile(_is_comment, map(str.strip, setting.split("\n"))))
    section = _SECTION.match(told)
    return section[0] if section else re.split(r"[=:\s]", told, maxsplit=1)[0].rpartition(".")[0]


def is_option(text: str) -> bool:
    """Whether a sentence begins with an option of a command."""
    return text[:1] == "-" and _OPTION.match(text) is not None


def are_settings(paragraph: Sequence[str]) -> bool:
    """Whether lines without a blank one between are settings and comments."""
    bare = [line.strip() for line in paragraph]
    rest = [line for line in bare if not _is_assigned(line)]
    others = sum(not (line.startswith(_COMMENTS) or _CLOSING.match(line)) for line in rest)
    return len(rest) < len(bare) and others <= _MOST_OTHERS * len(bare)


def setting_goes_on(line: str, following: str) -> bool:
    """Whether a line of settings and the next one belong together: a comment and what it is about,
    or a value of several lines."""
    bare, begin = line.strip(), following.strip()
    if not begin or _MARK.match(bare) or _MARK.match(begin):
        return False
    if _is_comment(bare):
        return True
    if _is_assigned(begin) and _is_assigned(bare):
        return False
    is_value = _depth(following) > _depth(line) and not _is_comment(begin)
    return is_value or _CLOSING.match(begin) is not None


def begins_option(line: str, following: str) -> bool:
    """Whether `following` begins with an option of a command, and does not continue a wrapped
    sentence."""
    begin, before = following.lstrip(), line.strip()
    if begin[:1] != "-" or not _OPTION.match(begin):
        return False
    is_less_deep = _depth(following) < _depth(line)
    return is_less_deep or before[-1:] in ("", ".", ":") or _OPTION.match(before) is not None


def _is_assigned(bare: str) -> bool:
    if bare.endswith(_ENDS):
        return not bare.startswith("#")
    return ("=" in bare or ":" in bare) and _ASSIGNMENT.match(bare) is not None


def _is_comment(bare: str) -> bool:
    return bare.startswith(_COMMENTS) and not _is_assigned(bare)


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())
