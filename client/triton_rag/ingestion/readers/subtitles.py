"""Subtitles (.srt, .vtt): what is said; the minutes are the pages."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from itertools import groupby

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded

_TIMES = re.compile(r"(?:(\d+):)?(\d+):\d+[.,]\d+\s+-->.*")
"""The line of a cue with the times from and to which it is shown."""
_SPEAKER = re.compile(r"<v(?:\.\S+)?\s+([^>]+)>")
_MARK = re.compile(r"</?[a-z\d][^>]*>|\{\\[^}]*\}", re.IGNORECASE)


def read(data: bytes) -> FileText:
    blocks = Blocks()
    for minute, lines in groupby(_lines(decoded(data)), lambda each: each[0]):
        blocks.page(minute)
        blocks.paragraph("\n".join(words for _, words in lines))
    if not blocks.file_text().text:
        raise Unreadable("no subtitles: no times '00:01:02,000 --> 00:01:04,000' with words below")
    return blocks.file_text()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The minute of each line, from 1, and its words. A line that repeats the one before, as in
    rolling subtitles, is left out."""
    before = ""
    for cue in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        minute, words = _cue(cue.strip("\n").split("\n"))
        for line in words:
            if line != before:
                yield minute, line
            before = line


def _cue(lines: list[str]) -> tuple[int, list[str]]:
    """The minute and the lines of a cue; no lines for a comment, a style or the file's head."""
    for at, line in enumerate(lines):
        if found := _TIMES.match(line.strip()):
            minute = int(found[1] or 0) * 60 + int(found[2]) + 1
            return minute, [words for said in lines[at + 1 :] if (words := _words(said))]
    return 0, []


def _words(line: str) -> str:
    said = _MARK.sub("", _SPEAKER.sub(r"\1: ", line))
    return " ".join(html.unescape(said).split())
