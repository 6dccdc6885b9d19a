"""reStructuredText: its text without marks, in sections that begin at its underlined titles."""

import re
from collections.abc import Iterator

from triton_rag.ingestion.file_text import FileText, in_sections
from triton_rag.ingestion.readers.plain import decoded

_ADORNMENT = re.compile(r"([!-/:-@\[-`{-~])\1{2,}$")
"""A line that repeats one punctuation character."""

_INSIDE = r"(?:(?P=indent)[ \t]+\S.*\n|[ \t]*\n(?=(?P=indent)[ \t]+\S))*"
"""Lines that are deeper than the first one."""
_NO_TEXT = (
    r"^(?P<indent>[ \t]*)\.\.(?:[ \t]+(?:(?:\w+:)?(?:index|toctree|contents|highlight|meta|raw"
    r"|image|include|module|sectionauthor|moduleauthor|currentmodule|program|testsetup|auto\w+)::"
    rf"|(?!\[|[\w:+-]+::|_|\|)\S).*)?\n{_INSIDE}|^[ \t]*\.\. (?:_|\|).*\n"
)
"""Directives without text of the file, comments, and names of link targets."""
_OPTIONS = r"(?:(?P=indent)[ \t]+:[\w-]+:.*\n)*"
_CODE = (
    r"^(?P<margin>[ \t]*)(?![ \t])"
    r"(?:\.\.[ \t]+(?:code|code-block|sourcecode|doctest|testcode)::.*\n"
    rf"{_OPTIONS.replace('indent', 'margin')}|(?!\.\. ).*::[ \t]*\n)(?:[ \t]*\n)*"
    r"(?P<code>(?P<deeper>(?P=margin)[ \t]+)\S.*\n(?:(?:[ \t]*\n)*(?P=deeper)[ \t]*\S.*\n)*)"
)
"""A block of code, after a directive or a paragraph that ends with `::`."""
_NO_TEXT_OR_CODE = re.compile(f"{_NO_TEXT}|{_CODE}", re.MULTILINE)
_DIRECTIVE = re.compile(
    r"^(?P<indent>[ \t]*)\.\.[ \t]+(?P<name>[\w:+-]+)::[ \t]*(?P<rest>.*)\n"
    rf"{_OPTIONS}(?:(?:[ \t]*\n)+(?=(?P=indent)[ \t]+\S|\Z))?",
    re.MULTILINE,
)
"""A directive with its options, up to its text."""
_IS_CODE = {"code", "code-block", "sourcecode", "parsed-literal", "doctest", "testcode"}
_INLINE = re.compile(
    r"``(?P<literal>\S.*?)``|:(?:[\w+-]{1,40}:){1,2}`[~!]?(?P<role>[^`<]+?)(?:\s*<[^`>]*>)?`"
    r"|(?<![`\w])`(?P<link>[^`]+)`__?"
)
_LITERAL_FOLLOWS = re.compile(
    r"(?<=\S)(:):[ \t]*$|(?<![ \t])[ \t]+::[ \t]*$|^[ \t]*::[ \t]*\n", re.MULTILINE
)


def read(data: bytes) -> FileText:
    text = _worded(decoded(data).replace("\r\n", "\n") + "\n")[:-1]
    return in_sections(text, titles(text))


def _worded(text: str) -> str:
    """The text with only the words of directives, roles and links; code keeps its marks."""
    found, plain, end = "", "", 0
    for block in _NO_TEXT_OR_CODE.finditer(text):
        plain += text[end : block.start("code" if block["code"] else 0)]
        if block["code"]:
            found, plain = found + _without_marks(plain) + block["code"], ""
        end = block.end()
    return found + _without_marks(plain + text[end:])


def _without_marks(text: str) -> str:
    text = _LITERAL_FOLLOWS.sub(lambda found: found[1] or "", _DIRECTIVE.sub(_words, text))
    return _INLINE.sub(
        lambda found: found["role"] or found["link"] or f"`{found['literal']}`", text
    )


def _words(found: re.Match[str]) -> str:
    name = found["name"].rpartition(":")[2]
    return "" if name in _IS_CODE else f"{found['indent']}{name}: {found['rest']}".rstrip() + "\n"


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
    """Whether these lines are a title. Tables have such lines too, but with spaces or shorter than
    the text."""
    is_underlined = bool(_ADORNMENT.match(under)) and len(under) >= len(title) > 0
    return is_underlined and not _ADORNMENT.match(title) and (not above or above == under)
