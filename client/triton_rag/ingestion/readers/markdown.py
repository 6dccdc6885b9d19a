"""Markdown, also that of note programs: the file's text, in sections that begin at its headings."""

import re
from collections.abc import Iterator, Set
from itertools import pairwise

from triton_rag.ingestion.file_text import FileText, in_sections
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.tables import row_line
from triton_rag.ingestion.readers.tree import INLINE

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HEADING = re.compile(r" {0,3}(?P<marks>#{1,6})[ \t]+(?P<text>.*?)[ \t]*#*[ \t]*$")
_UNDERLINE = re.compile(r" {0,3}(=+|-{2,})[ \t]*$")
_NO_PARAGRAPH = re.compile(r"\s*([-*+>|#]|\d+[.)]|$)| {4}")
"""A line that an underline does not make a heading."""

_DIVIDER = re.compile(r" {0,3}\|?(?:[ \t]*:?-+:?[ \t]*\|)+(?:[ \t]*:?-+:?)?[ \t]*$")
"""The line below the names of a table's columns."""
_BAR = re.compile(r"(?<!\\)\|")

_FRONT_MATTER = re.compile(
    r"\A(?:---[ \t]*\n(?P<yaml>.*?\n)(?:---|\.\.\.)|\+{3}[ \t]*\n(?P<toml>.*?\n)\+{3})"
    r"[ \t]*(?:\n|\Z)",
    re.DOTALL,
)
_TITLE = re.compile(r"^title[ \t]*[:=][ \t]*[\"']?(.+?)[\"']?[ \t]*$", re.MULTILINE)
_CODE = re.compile(
    r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1[`~]*[ \t]*$|\Z)|`[^`\n]+`", re.MULTILINE | re.DOTALL
)
_COMMENT = re.compile(
    r"<!--.*?-->|^%%.*?%%|(?<=\s)%%.*?%%|\{/\*.*?\*/\}|\{\{[<%].*?[%>]\}\}"
    r"|^import [^\n]+ from ['\"][^'\"\n]+['\"];?$",
    re.DOTALL | re.MULTILINE,
)
"""Comments, calls of Hugo and imports of MDX: none of them is text of the file."""
_WIKI_LINK = re.compile(r"!?\[\[(?:[^\[\]|\n]*\|)?([^\[\]|\n]+)\]\]")
_SIZE = re.compile(r"(?<=\S)\|\d+(?:x\d+)?(?=\]\])")
"""The width of a picture, after its name."""
_BLOCK_NAME = re.compile(r"[ \t]\^[a-zA-Z\d-]+[ \t]*$", re.MULTILINE)
"""The name of a paragraph, for links."""
_PICTURE = re.compile(r"!\[([^\]\n]*)\]\([^)\n]*\)")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\((?![A-Za-z][\w+.-]*:)[^()\n]*\)")
"""A link to another file or place of the same notes; links to other addresses stay."""
_HEADING_NAME = re.compile(
    r"^( {0,3}#{1,6}[ \t][^\n{}]*[^\s{}])[ \t]*\{[#.][^{}\n]*\}[ \t]*$", re.MULTILINE
)
"""The name of a heading, for links: `# Prices {#prices}`."""
_LINK_IN_HEADING = re.compile(r"(?<!\w)\[([^\[\]]+)\](?:\([^()\s]*\)|\[[^\[\]]*\])?")
_ROLE = re.compile(r"\{[A-Za-z][\w:+-]*\}\Z")
"""A role before code in the Markdown of Sphinx, such as `{class}`."""
_EMPHASIS = re.compile(r"(?<![\w*=])(\*{1,3}|==)(?=[^\s=])([^*\n]+?)(?<=[^\s=])\1(?![\w*=])")
_CALLOUT = re.compile(r"^(>\s*)\[!\w+\][-+]?[ \t]*", re.MULTILINE)
_TAG = re.compile(
    r"(?P<code>(?<=\n\n)(?:(?: {4}|\t).*(?:\n|\Z))+)"
    r"|</?(?P<name>[A-Za-z][\w.]*)(?:\s[^<>]*?)?(?P<is_empty>/)?>"
)
"""A tag of HTML, or an indented block, which may be code and keeps its tags."""
_END_TAG = re.compile(r"</([A-Za-z][\w.]*)>")
_BLOCKS = {
    *("blockquote", "br", "center", "dd", "details", "div", "dl", "dt", "h1", "h2", "h3", "h4"),
    *("hr", "li", "ol", "p", "picture", "source", "summary", "table", "tbody", "td", "th"),
    *("thead", "tr", "ul", "video"),
}
"""Tags of HTML that divide words, unlike those inside a line."""


def read(data: bytes) -> FileText:
    front, text = _divided(decoded(data).replace("\r\n", "\n"))
    titled = _TITLE.search(front)
    text = "\n".join(_with_named_cells(_worded(text).split("\n")))
    text = f"{front}\n{text}" if front else text
    return in_sections(text, headings(text), titled[1] if titled else "")


def _divided(text: str) -> tuple[str, str]:
    """The lines of the front matter, and the text after it."""
    found = _FRONT_MATTER.match(text)
    return (found["yaml"] or found["toml"], text[found.end() :]) if found else ("", text)


def _worded(text: str) -> str:
    """The text without comments, and with only the words of pictures, links and callouts."""
    parts, start, blocks = list[str](), 0, _BLOCKS | set(_END_TAG.findall(text))
    for code in _CODE.finditer(text):
        parts += [_ROLE.sub("", _words(text[start : code.start()], blocks)), code[0]]
        start = code.end()
    return "".join([*parts, _words(text[start:], blocks)])


def _words(text: str, blocks: Set[str]) -> str:
    def untagged(tag: re.Match[str]) -> str:
        """Removes tags of HTML and of components, which are closed; placeholders (<name>) stay."""
        name = tag["name"] or ""
        if name.lower() in INLINE:
            return ""
        return " " if tag["is_empty"] or name in blocks or name.lower() in blocks else tag[0]

    text = _HEADING_NAME.sub(r"\1", text)
    text = _BLOCK_NAME.sub("", _SIZE.sub("", _COMMENT.sub("", text)))
    text = _EMPHASIS.sub(r"\2", _TAG.sub(untagged, _PICTURE.sub(r"\1", text)))
    return _CALLOUT.sub(r"\1", _LINK.sub(r"\1", _WIKI_LINK.sub(r"\1", text)))


def _with_named_cells(lines: list[str]) -> Iterator[str]:
    """The lines; rows of tables with the names of their columns, because a row is quoted alone."""
    names: list[str] = []
    fence = ""
    for line, below in pairwise([*lines, ""]):
        opened = _FENCE.match(line)
        if fence or opened:
            yield line
            is_end = fence and line.strip().startswith(fence)
            fence = "" if is_end else fence or (opened[1] if opened else "")
        elif "|" in line and _DIVIDER.match(below):
            names = _cells(line)
        elif not (names and "|" in line):
            names = []
            yield line
        elif not _DIVIDER.match(line):
            yield row_line(_cells(line), names)


def _cells(line: str) -> list[str]:
    bare = line.strip().removeprefix("|").removesuffix("|")
    return [cell.replace("\\|", "|").strip() for cell in _BAR.split(bare)]


def headings(text: str) -> Iterator[tuple[int, int, str]]:
    """Where each heading begins, its level from 1, and its words; without blocks of code."""
    fence, before, start = "", "", 0
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        if fence:
            fence = "" if bare.strip().startswith(fence) else fence
        elif opened := _FENCE.match(bare):
            fence = opened[1]
        elif found := _HEADING.match(bare):
            words = _LINK_IN_HEADING.sub(r"\1", found["text"])
            yield start, len(found["marks"]), words
        elif _UNDERLINE.match(bare) and not _NO_PARAGRAPH.match(before):
            yield start - len(before), 1 if "=" in bare else 2, before
        before = line if not fence else ""
        start += len(line)
