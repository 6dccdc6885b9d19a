"""Org: its text without marks, in sections that begin at its headings."""

import re
from collections.abc import Iterator
from dataclasses import replace

from triton_rag.ingestion.file_text import FileText, from_lines
from triton_rag.ingestion.readers.plain import decoded

_HEADING = re.compile(r"(?P<stars>\*+)[ \t]+(?P<words>.*?)(?:[ \t]+:[\w@#%:]+:)?[ \t]*$")
"""A heading, without its tags."""
_DRAWER = re.compile(r"[ \t]*:[\w-]+:[ \t]*$")
_DRAWER_END = re.compile(r"[ \t]*:END:[ \t]*$", re.IGNORECASE)
_BLOCK = re.compile(r"[ \t]*#\+(?P<edge>begin|end)_(?P<kind>\w+)", re.IGNORECASE)
_CODE = ("src", "example", "export", "comment")
_KEY = re.compile(r"[ \t]*#\+(?P<key>\w+)(?:\[[^\]]*\])?:[ \t]*(?P<value>.*)$")
_KEPT_KEYS = ("title", "subtitle", "caption")
_TITLE = re.compile(r"^#\+title:[ \t]*(.+?)[ \t]*$", re.IGNORECASE | re.MULTILINE)
_COMMENT = re.compile(r"[ \t]*#(?: |$)")
_NAMED_LINK = re.compile(r"\[\[[^\[\]]+\]\[([^\[\]]+)\]\]")
"""A link with a name, which may continue in the next line."""
_LINK = re.compile(r"\[\[(?:file:)?([^\[\]\n]+)\]\]")
_EMPHASIS = re.compile(
    r"(?<![^\s({'\"-])(?P<mark>[*/_=~])(?=\S)(?P<words>(?:(?!(?P=mark))[^\n]){1,200}?)(?<=\S)(?P=mark)(?![^\s.,:;!?'\")}\[-])"
)


def read(data: bytes) -> FileText:
    text = decoded(data)
    title = _TITLE.search(text)
    found = from_lines(_lines(_NAMED_LINK.sub(r"\1", text).splitlines()))
    return replace(found, title=title[1]) if title else found


def _lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines with text and their levels, 0 for those that are no heading."""
    code, in_drawer = "", False
    for line in map(str.rstrip, lines):
        block = _BLOCK.match(line)
        if block and (not code or block["kind"].lower() == code):
            kind = block["kind"].lower()
            code = kind if block["edge"].lower() == "begin" and kind in _CODE else ""
        elif code:
            if code != "comment":
                yield 0, line
        elif in_drawer or (_DRAWER.match(line) and not _DRAWER_END.match(line)):
            in_drawer = not _DRAWER_END.match(line)
        elif found := _HEADING.match(line):
            yield len(found["stars"]), _words(found["words"])
        elif key := _KEY.match(line):
            if key["key"].lower() in _KEPT_KEYS:
                yield 0, _words(key["value"])
        elif not _COMMENT.match(line) and not block:
            yield 0, _words(line)


def _words(line: str) -> str:
    """A line with only the words of links, and without marks of emphasis; code keeps one mark."""
    return _EMPHASIS.sub(_shown, _LINK.sub(r"\1", line))


def _shown(found: re.Match[str]) -> str:
    return f"`{found['words']}`" if found["mark"] in "=~" else found["words"]
