"""Settings in lines (.toml, .ini, .conf, .properties, .tf, .env.example): each below its comment,
and after the section or the blocks that contain it: `[http > server] listen 443 ssl;`.
"""

from __future__ import annotations

import re

from triton_rag.ingestion.file_text import FileText
from triton_rag.ingestion.readers.plain import decoded

_MARK = re.compile(r"(?:#+|;+|//+)[-=*#\s]*$")
"""A comment without words."""
_COMMENT = re.compile(r"#|;|//")
_SECTION = re.compile(r"\[{1,2}([^\[\]]+)\]{1,2}(?:\s*[#;].*)?$")
_OPENING = re.compile(r"([^{}#;]*[^{}#;=:\s])?\s*[=:]?\s*\{$|<([A-Za-z][^<>]*)>$")
_CLOSING = re.compile(r"\}[;,]?$|</\w+>$")
_ASSIGNMENT = re.compile(r"[\w.\-\"'@/$]+(?:\s*[=:;]|\s+\S)")


def read(data: bytes) -> FileText:
    text = decoded(data)
    return FileText(_flattened(text) or text)


def _flattened(text: str) -> str:
    """The settings in lines; empty if blocks don't end as they begin: it is no such file."""
    lines: list[str] = []
    section, opened = "", list[str]()
    for bare in map(str.strip, text.split("\n")):
        if not bare or _MARK.match(bare):
            _add_blank(lines)
        elif _COMMENT.match(bare):
            if lines and not _COMMENT.match(lines[-1]):
                _add_blank(lines)
            lines.append(bare)
        elif (found := _SECTION.match(bare)) and not opened:
            section = found[1].strip()
        elif found := _OPENING.match(bare):
            opened.append((found[1] or found[2] or "").strip())
        elif _CLOSING.match(bare):
            if not opened:
                return ""
            opened.pop()
            _add_blank(lines)
        else:
            lines.append(_line(bare, [section, *opened]))
    return "" if opened else "\n".join(lines).strip()


def _line(bare: str, inside: list[str]) -> str:
    path = " > ".join(filter(None, inside))
    return f"[{path}] {bare}" if path and _ASSIGNMENT.match(bare) else bare


def _add_blank(lines: list[str]) -> None:
    if lines and lines[-1]:
        lines.append("")
