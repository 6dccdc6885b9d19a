"""The lines of roff: without comments, definitions and conditions; escapes become characters."""

from __future__ import annotations

import re
from collections.abc import Iterator

_DEFINITION = re.compile(r"[.'][ \t]*(?:de1?|am1?|ig)\b[ \t]*\S*[ \t]*(\S*)")
_TABLE_FORMAT_END = re.compile(r"\.[ \t]*$")
_CELL = re.compile(r"T\{\n(.*?)\nT\}", re.DOTALL)
_CONDITION = re.compile(r"[.'][ \t]*(?:if|ie|el)\b")
_NAMED = {
    **{"aq": "'", "dq": '"', "bu": "•", "em": "—", "en": "–", "hy": "-", "lq": "“", "rq": "”"},
    **{"oq": "‘", "cq": "’", "co": "©", "rg": "®", "tm": "™", "ti": "~", "ha": "^", "rs": "\\"},
    **{"ga": "`", "mu": "×", "de": "°", "<=": "≤", ">=": "≥", "->": "→", "<-": "←", "sq": "□"},
    **{"Fo": "«", "Fc": "»", "ua": "↑", "da": "↓", "pl": "+", "mi": "−", "eq": "=", "sl": "/"},
    **{"lB": "[", "rB": "]", "la": "⟨", "ra": "⟩", "Do": "$", "at": "@", "sh": "#", "or": "|"},
    **{"Aq": "'", "Lq": "“", "Rq": "”", 'L"': "“", 'R"': "”", "C`": '"', "C'": '"', "ss": "ß"},
}
_ESCAPE = re.compile(
    r"\\(?:[\"#].*"
    r"|[fFgkMmn](?:\[[^\]]*\]|\(..|.)|s(?:[+-]?\d{1,2}|\[[^\]]*\])"
    r"|[hvwDlLobXZBNRSx]'[^']*'"
    r"|(?P<string>\*)?(?:\[(?P<long>[^\]]*)\]|\((?P<two>..))|\*(?P<one>.)"
    r"|(?P<char>.))"
)
_CHARACTERS = {char: char for char in "-' `."} | {"e": "\\", "~": " ", "0": " ", "t": "\t"}
_CODE_POINT = re.compile(r"u[0-9A-F]{4,5}")
_ARGUMENT = re.compile(r'"((?:[^"]|"")*)"?|((?:\\.|\S)+)')
"""An argument: quoted, or up to a blank without a backslash before it."""


def source_lines(text: str) -> Iterator[str]:
    """The lines of text and of macros; cells of tables have bars between them."""
    lines = iter(text.replace("\r\n", "\n").replace("\\\n", "").split("\n"))
    for line in lines:
        if found := _DEFINITION.match(line):
            _skip_to(lines, f".{found[1] or '.'}")
        elif _CONDITION.match(line):
            depth = line.count(r"\{") - line.count(r"\}")
            while depth > 0 and (line := next(lines, "\\}")):
                depth += line.count(r"\{") - line.count(r"\}")
        elif re.match(r"[.']TS\b", line):
            yield from _table(lines)
        elif not re.match(r"[.'][ \t]*(?:\\[\"#]|$)|'\\\"", line):
            yield line


def _skip_to(lines: Iterator[str], end: str) -> None:
    for line in lines:
        if line.replace(" ", "").rstrip() == end:
            return


def _table(lines: Iterator[str]) -> Iterator[str]:
    """The rows of a table, whose format ends with a full stop."""
    separator, is_row = "\t", False
    yield ".nf"
    cells: list[str] = []
    for line in lines:
        if line.startswith(".TE"):
            break
        if not is_row:
            if found := re.search(r"tab\s*\((.)\)", line):
                separator = found[1]
            is_row = _TABLE_FORMAT_END.search(line) is not None
        elif line.startswith(".T&"):
            is_row = False
        elif not line.startswith((".", "'")) and line.strip("_= \t"):
            cells.append(line)
    rows = _CELL.sub(lambda cell: cell[1].replace("\n", " "), "\n".join(cells)).split("\n")
    yield from (row.replace(separator, " | ") for row in rows)
    yield ".fi"


def macro_arguments(line: str) -> tuple[str, list[str]]:
    """The name of a macro and its arguments, without escapes."""
    name, _, rest = line[1:].strip().partition(" ")
    found = (quoted.replace('""', '"') or bare for quoted, bare in _ARGUMENT.findall(rest))
    return name, [without_escapes(each) for each in found if not each.startswith('\\"')]


def without_escapes(text: str) -> str:
    return _ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    name = found["long"] or found["two"] or found["one"]
    if name is None:
        return _CHARACTERS.get(found["char"] or "", "")
    return chr(int(name[1:], 16)) if _CODE_POINT.fullmatch(name) else _NAMED.get(name, "")
