"""Source code: the file's own text, in sections that begin at its definitions."""

from __future__ import annotations

import re
from dataclasses import replace

from triton_rag.ingestion.file_text import FileText, Unreadable, in_sections
from triton_rag.ingestion.readers.plain import decoded

_DEFINITION = re.compile(
    r"^(?:(?:export|default|declare|pub(?:\([\w:]+\))?|public|private|protected|internal|static"
    r"|final|abstract|sealed|data|open|async|unsafe|inline|local|const)\s+)*"
    r"(?P<heading>func \([^)\n]*\) \w+|(?:def|class|function\*?|func|fn|fun|impl|struct|enum|union"
    r"|trait|interface|type|module|mod|namespace|object|record|protocol|extension|sub|message|service)\s+[^\n({:;=]*"
    r"|CREATE\s+(?:OR\s+REPLACE\s+)?\w+\s+[^\n(;]+)",
    re.MULTILINE,
)
"""Definitions that begin in the first column, in the usual languages."""
_MINIFIED = 500
"""Average characters per line above which a file is minified: nobody writes such lines."""


def read(data: bytes) -> FileText:
    text = decoded(data)
    if len(text) > _MINIFIED * (1 + text.count("\n")):
        raise Unreadable("minified: a program has made it out of code, or it holds data")
    definitions = ((found.start(), 1, found["heading"]) for found in _DEFINITION.finditer(text))
    return replace(in_sections(text, definitions), title="")
