"""Markdown: the file's own text, in sections at its headings."""

import re
from collections.abc import Iterator

from triton_rag.ingestion.file_text import FileText, Outline, Section, first_heading
from triton_rag.ingestion.readers.plain import decoded

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_NO_PARAGRAPH = re.compile(r"\s*([-*+>|#]|\d+[.)]|$)| {4}")
"""What an underline makes no heading of."""


def read(data: bytes) -> FileText:
    text = decoded(data)
    outline, sections = Outline(), [Section(0)]
    for start, level, heading in headings(text):
        section = Section(start, outline.enter(level, heading))
        sections = [section] if not text[:start].strip() else [*sections, section]
    sections[0] = Section(0, sections[0].headings)
    return FileText(text, tuple(sections), first_heading(sections))


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each heading begins, its level from 1, and its words; none of blocks of code."""
    fence, before, start = "", "", 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if fence:
            fence = "" if bare.strip().startswith(fence) else fence
        elif opened := _FENCE.match(bare):
            fence = opened[1]
        elif found := _HEADING.match(bare):
            yield start, len(found["marks"]), found["text"]
        elif _UNDERLINE.match(bare) and not _NO_PARAGRAPH.match(before):
            yield start - len(before), 1 if "=" in bare else 2, before
        before = line if not fence else ""
        start += len(line)
