"""AsciiDoc: its text without marks, in sections that begin at its titles."""

import re
from collections.abc import Iterator

from triton_rag.ingestion.file_text import FileText, from_lines
from triton_rag.ingestion.readers.plain import decoded

_TITLE = re.compile(r"(?P<marks>={1,6})[ \t]+(?P<words>\S.*?)(?:[ \t]+(?P=marks))?$")
_UNDERLINE = re.compile(r"([-=~^+])\1{2,}$")
_LEVELS = {"=": 1, "-": 2, "~": 3, "^": 4, "+": 5}
"""Levels of underlined titles, by the underline's character; the lengths may differ by 1."""
_WORD = re.compile(r"\w")
_VERBATIM = re.compile(r"(?:-{4,}|\.{4,}|\+{4,}|`{3,}\S*|/{4,})$")
"""What opens and closes a block of code or of comments (`////`)."""
_COMMENTS = "////"
_FRAME = re.compile(r"(?:={4,}|\*{4,}|_{4,}|--|[|,:!]={3,}|\+|'{3,})$")
"""Lines that surround another block, or join two."""
_ATTRIBUTE = re.compile(r":(\w[\w-]*):[ \t]*(.*\S)")
"""An attribute's name and value."""
_NAMED = re.compile(r"\{(\w[\w-]*)\}")
_NO_TEXT = re.compile(
    r"//(?!/)|:!?\w[\w-]*!?:(?:\s|$)|(?:include|ifn?def|ifeval|endif|toc)::"
    r"|\[\[[^\]]*\]\]$|\[(?!(?:NOTE|TIP|IMPORTANT|WARNING|CAUTION)\]).*\]$"
)
"""Comments, attributes, conditions, and lines that say how the next block looks."""
_ADMONITION = re.compile(r"\[([A-Z]+)\]$")
_CAPTION = re.compile(r"\.(?=[^\s.])")
_TERM = re.compile(r"(?<=\S):{2,4}(?=\s|$)|(?<=\S);;(?=\s|$)")
_ANCHOR = re.compile(r"\[\[[^\[\]]*\]\]|\[#[^\[\]]*\](?=\S)")
_REFERENCE = re.compile(r"<<([^<>,]+)(?:,\s*([^<>]+))?>>")
_MACRO = re.compile(
    r"\b(?P<name>[a-z]\w{,30}):{1,2}(?P<target>[^\s:\[\]`][^\s\[\]`]{,300})?\[(?P<words>[^\[\]]*)\]"
)
_CODE_OR_EMPHASIS = re.compile(
    r"`\+(?P<literal>[^`]+)\+`|`[^`]+`|(?<![\w*_])(?P<mark>\*\*?|__?)(?=[^\s*_])(?P<words>[^*\n]{1,200}?)(?<=\S)(?P=mark)(?![\w*_])"
)


def read(data: bytes) -> FileText:
    return from_lines(_lines(decoded(data).splitlines()))


def _lines(lines: list[str]) -> Iterator[tuple[int, str]]:
    """The lines with text and their levels, 0 for those that are no title."""
    attributes = {found[1]: found[2] for found in map(_ATTRIBUTE.match, lines) if found}
    closing, before = "", ""
    skipped = -1
    for at, line in enumerate(map(str.rstrip, lines)):
        under = lines[at + 1].rstrip() if at + 1 < len(lines) else ""
        if closing:
            closing = "" if line == closing else closing
            if closing and closing != _COMMENTS:
                yield 0, line
        elif at == skipped:
            pass
        elif not before and (level := _underlined(line, under)):
            skipped = at + 1
            yield level, _words(line, attributes)
        elif _VERBATIM.match(line):
            closing = "```" if line.startswith("```") else line
        elif found := _TITLE.match(line):
            yield len(found["marks"]), _words(found["words"], attributes)
        elif _FRAME.match(line):
            yield 0, ""
        elif not _NO_TEXT.match(line):
            yield 0, _words(line, attributes)
        before = "" if _NO_TEXT.match(line) or at == skipped else line


def _underlined(line: str, under: str) -> int:
    """The level of a title with the line `under` below it; 0 for other lines."""
    is_title = _UNDERLINE.match(under) and _WORD.search(line) and not line.startswith((" ", "["))
    return _LEVELS[under[0]] if is_title and abs(len(line) - len(under)) < 2 else 0


def _words(line: str, attributes: dict[str, str]) -> str:
    line = _NAMED.sub(lambda found: attributes.get(found[1], found[0]), line)
    line = _CAPTION.sub("", _ADMONITION.sub(r"\1:", line), count=1) if line[:1] in ".[" else line
    line = _REFERENCE.sub(lambda found: found[2] or found[1], _ANCHOR.sub("", line))
    line = _MACRO.sub(_shown, _TERM.sub(":", line))
    return _CODE_OR_EMPHASIS.sub(_plain, line)


def _plain(found: re.Match[str]) -> str:
    return f"`{found['literal']}`" if found["literal"] else found["words"] or found[0]


def _shown(found: re.Match[str]) -> str:
    """The text of a macro: `link:a.html[the page]`, `man:tar[1]`, `footnote:[A remark.]`."""
    target, words = found["target"] or "", found["words"].strip()
    if found["name"] == "footnote":
        return f" ({words})"
    if words.isdecimal() and target:
        return f"{target}({words})"
    is_address = found["name"] in ("http", "https", "ftp", "irc")
    return words.strip('"^') or (found[0][: -len("[]")] if is_address else target)
