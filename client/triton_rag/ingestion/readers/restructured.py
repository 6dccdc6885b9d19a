"""reStructuredText: the file's own text, in sections at its underlined titles."""

import re
from collections.abc import Iterator

from triton_rag.ingestion.file_text import FileText, in_sections
from triton_rag.ingestion.readers.plain import decoded

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}$")
"""A line of one punctuation character."""


def read(data: bytes) -> FileText:
    text = decoded(data)
    return in_sections(text, titles(text))


def titles(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each title begins, its level from 1 in the order of the styles, and its words.

    A style is the character of the underline, with or without a line above the title.
    """
    styles: list[tuple[str, bool]] = []
    lines = text.splitlines(keepends=True)
    start = 0
    for index, line in enumerate(lines[:-1]):
        under, title = lines[index + 1].rstrip(), line.strip()
        above = lines[index - 1].rstrip() if index else ""
        if _is_title(title, under, above):
            is_over = above == under
            style = (under[0], is_over)
            styles += [style] if style not in styles else []
            begin = start - len(lines[index - 1]) if is_over else start
            yield begin, styles.index(style) + 1, title
        start += len(line)


def _is_title(title: str, under: str, above: str) -> bool:
    """Tables have adornments too, but those are divided by spaces or shorter than the text."""
    is_underlined = bool(_ADORNMENT.match(under)) and len(under) >= len(title) > 0
    return is_underlined and not _ADORNMENT.match(title) and (not above or above == under)
