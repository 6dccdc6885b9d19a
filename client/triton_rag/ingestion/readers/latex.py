"""LaTeX: its text without commands, in sections that begin at its headings. Formulas stay."""

import re
from collections.abc import Iterator
from dataclasses import replace

from triton_rag.ingestion.file_text import FileText, from_lines
from triton_rag.ingestion.readers.plain import decoded

_LEVELS = {
    name: level
    for level, name in enumerate(
        ("part", "chapter", "section", "subsection", "subsubsection", "paragraph"), start=1
    )
}
_BRACED = r"\{(?:[^{}]|\{[^{}]*\})*\}"
"""An argument, with at most one level of braces inside."""
_BODY = re.compile(r"\\begin\{document\}(.*?)(?:\\end\{document\}|\Z)", re.DOTALL)
_TITLE = re.compile(rf"\\title\s*(?:\[[^\]]*\])?({_BRACED})")
_KEPT = re.compile(
    r"\\begin\{(?P<name>verbatim|Verbatim|lstlisting|minted)\*?\}[^\n]*\n"
    r"(?P<code>.*?)\\end\{(?P=name)\*?\}"
    r"|\\begin\{(?P<formula>equation|align|gather|multline|displaymath)\*?\}.*?\\end\{(?P=formula)\*?\}"
    r"|\\verb\*?(?P<edge>[^\w\s])(?P<short>[^\n]*?)(?P=edge)"
    r"|(?<!\\)\\\[(?:[^\\]|\\[^\[])*?\\\]|(?<!\\)\\\((?:[^\\]|\\[^(])*?\\\)|(?<!\\)\$\$.*?\$\$|(?<!\\)\$(?:[^$\\]|\\.)*\$",
    re.DOTALL,
)
"""Code and formulas."""
_COMMENT = re.compile(r"^[ \t]*%.*\n|(?<!\\)%.*", re.MULTILINE)
_HEADING = re.compile(rf"\\({'|'.join(_LEVELS)})\*?\s*(?:\[[^\]]*\])?\s*({_BRACED})")
_MARK = "\0"
"""Written before the level of a heading: no text has this character."""
_NO_TEXT = re.compile(
    r"\\(?:begin|end)\s*\{(?:tabular|tabularx|longtable|array|minipage|multicols|list|thebibliography"
    rf"|wrapfigure)\*?\}}(?:\[[^\]]*\]|{_BRACED})*|\\(?:begin|end)\s*\{{[^{{}}]*\}}(?:\[[^\]]*\])?"
    rf"|\\(?:label|index|[vh]space|includegraphics|input|include|bibliography\w*|usepackage"
    rf"|setcounter|setlength|hypertarget|pagestyle|thispagestyle)\*?(?:\[[^\]]*\])?{_BRACED}"
    rf"|\\(?:re)?newcommand\*?{_BRACED}(?:\[[^\]]*\])*{_BRACED}"
)
_ITEM = re.compile(r"\\item\s*(?:\[([^\]]*)\])?[ \t]*")
_FOOTNOTE = re.compile(rf"\\footnote({_BRACED})")
_COMMAND = re.compile(r"\\[a-zA-Z@]+\*?(?:\[[^\]]*\])?\{([^{}]+)\}(?:\{\})?")
"""A command with its last argument. The innermost is matched first: `\\emph{\\texttt{a}}`."""
_DEEPEST = 8
_SIGNS = {"LaTeX": "LaTeX", "TeX": "TeX", "ldots": "…", "dots": "…", "S": "§", "ss": "ß"} | {
    **{"textquotesingle": "'", "textbackslash": "\\", "textasciitilde": "~", "textbar": "|"},
    **{"textless": "<", "textgreater": ">", "textasciicircum": "^", "copyright": "©"},
}
_SIGN = re.compile(r"\\([a-zA-Z@]+)\*?(?:\{\}|[ \t]+)?")
_BREAK = re.compile(r"\\\\\*?(?:\[[^\]]*\])?")
_ESCAPED = re.compile(r"\\([&%$#_{} ,;:/-])")
_SPACES = dict.fromkeys(" ,;:", " ") | dict.fromkeys("/-", "")
"""Signs for spaces of different widths, and for places where a word may be divided."""
_TYPED = {"---": "—", "--": "–", "``": "“", "''": "”", "~": " ", "{": "", "}": ""}
_TYPE = re.compile("|".join(map(re.escape, _TYPED)))


def read(data: bytes) -> FileText:
    text = decoded(data).replace("\r\n", "\n")
    title, body = _TITLE.search(text), _BODY.search(text)
    parts, start = list[str](), 0
    text = body[1] if body else text
    for kept in _KEPT.finditer(text):
        code = kept["code"] if kept["code"] is not None else kept["short"]
        parts += [text[start : kept.start()], kept[0] if code is None else code]
        start = kept.end()
    parts.append(text[start:])
    words = "".join(part if at % 2 else _words(part) for at, part in enumerate(parts))
    found = from_lines(_lines(words))
    return replace(found, title=_words(title[1]).strip()) if title else found


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """The lines, each with the level of its heading, or 0 for other lines."""
    for line in text.splitlines():
        is_heading = line.startswith(_MARK)
        yield (int(line[1]), line[2:]) if is_heading else (0, line.rstrip())


def _words(text: str) -> str:
    text = _HEADING.sub(_heading, _COMMENT.sub("", text))
    text = _ITEM.sub(lambda found: f"- {found[1]}: " if found[1] else "- ", _NO_TEXT.sub("", text))
    text = _FOOTNOTE.sub(lambda found: f" ({found[1][1:-1].strip()})", text)
    for _ in range(_DEEPEST):
        text, count = _COMMAND.subn(r"\1", text)
        if not count:
            break
    text = _SIGN.sub(lambda found: _SIGNS.get(found[1], ""), _BREAK.sub("\n", text))
    parts = _ESCAPED.split(text)
    return "".join(
        _SPACES.get(part, part) if at % 2 else _TYPE.sub(lambda found: _TYPED[found[0]], part)
        for at, part in enumerate(parts)
    )


def _heading(found: re.Match[str]) -> str:
    words = " ".join(found[2][1:-1].split())
    return f"\n\n{_MARK}{_LEVELS[found[1]]}{words}\n\n"
