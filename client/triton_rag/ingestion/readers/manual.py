"""Manual pages in roff (man(7) and mdoc(7)): their text, in sections, each option with its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from triton_rag.ingestion.file_text import Blocks, FileText, Unreadable
from triton_rag.ingestion.readers.plain import decoded
from triton_rag.ingestion.readers.roff import macro_arguments, source_lines, without_escapes

_IS_MANUAL = re.compile(r"^[.'][ \t]*(?:TH|Dt|Dd)[ \t]", re.MULTILINE)
NOT_ONE = "no manual page; a log is read as .log or .txt"

_PARAGRAPHS = {"PP", "P", "LP", "Pp", "HP", "sp", "RS", "RE", "El", "UE", "ME", "Bl"}
_FONTS = {"B", "I", "R", "SM", "SB", "BR", "RB", "BI", "IB", "IR", "RI", "SY", "MT"}
_JOINED = {"BR", "RB", "BI", "IB", "IR", "RI"}
_CODE = {"nf": True, "EX": True, "fi": False, "EE": False, "Bd": True, "Ed": False}
_NO_TEXT = {
    *("TH", "Dd", "Dt", "Os", "ad", "hy", "nh", "na", "ne", "ta", "ti", "in", "ft", "ie", "el"),
    *("if", "de", "ds", "nr", "so", "TS", "TE", "PD", "it", "ll", "mso", "als", "am", "rr", "tr"),
    *("ce", "ig", "UN", "IX", "rm", "Sm", "ss", "cs", "fam", "br", "YS", "Bk", "Ek", "pl", "ps"),
}
_OPENED = {"Op": "[", "Oo": "[", "Dq": "“", "Qq": '"', "Sq": "‘", "Aq": "<", "Pq": "(", "Brq": "{"}
_CLOSED = {"[": "]", "“": "”", '"': '"', "‘": "’", "<": ">", "(": ")", "{": "}"}
_WORDLESS = {
    *("Ar", "Cm", "Pa", "Ic", "Em", "Sy", "Va", "Ev", "Dv", "Er", "Li", "Ql", "Tn", "Ux", "Bx"),
    *("An", "Lk", "Sx", "Fx", "Ox", "Nx", "No", "Ta", "Xo", "Xc", "Pf", "Ad", "Fa", "Ft", "Fn"),
    *("Vt", "Ms", "Ap", "At", "Do", "Qo", "Po", "Ao", "So", "Bro", "Dc", "Qc", "Pc", "Ac", "Sc"),
    *("Brc", "In", "Cd"),
}
_CLOSERS = {".", ",", ":", ";", ")", "]", "?", "!"}


def read(data: bytes) -> FileText:
    """The text of a manual page; raises `Unreadable` for others, such as old logs (`syslog.1`)."""
    text = decoded(data)
    if not _IS_MANUAL.search(text):
        raise Unreadable(NOT_ONE)
    page = _Page()
    for line in source_lines(text):
        page.add(line)
    return page.file_text()


@dataclass
class _Page:
    blocks: Blocks = field(default_factory=Blocks)
    words: list[str] = field(default_factory=list)
    """The paragraph so far: pieces to be joined by spaces, or lines of code."""
    name: str = ""
    title: str = ""
    term: list[str] = field(default_factory=list)
    """The term that the next paragraph explains."""
    waits_for_term: bool = False
    is_code: bool = False
    is_synopsis: bool = False
    """Whether each name of the command begins a line."""

    def add(self, line: str) -> None:
        if line[:1] not in (".", "'"):
            self._text(without_escapes(line))
            return
        macro, arguments = macro_arguments(line)
        if macro in _CODE:
            self._end()
            self.is_code = _CODE[macro]
        elif macro in ("TH", "Dt"):
            self.title = _page_name(arguments)
        elif macro in ("SH", "Sh", "SS", "Ss"):
            self._end()
            self.is_synopsis = arguments == ["SYNOPSIS"]
            self.blocks.heading(1 if macro in ("SH", "Sh") else 2, " ".join(arguments))
        elif macro in ("TP", "TQ"):
            self._end(keeps_term=macro == "TQ")
            self.waits_for_term = True
        elif macro in ("IP", "It"):
            self._end()
            term = arguments[0] if macro == "IP" and arguments else self._inline(arguments)
            self.term = [term] if term else []
        elif macro in _PARAGRAPHS:
            self._paragraph(macro)
        elif macro == "Nm" and self.is_synopsis:
            self._end()
            self._text(self._inline([macro, *arguments]))
        elif macro not in _NO_TEXT:
            self._text(self._macro(macro, arguments))

    def _paragraph(self, macro: str) -> None:
        """End a paragraph; a term before an indented paragraph belongs to that one."""
        if macro == "RS" and self.words and not self.term and len(self.words) <= 12:
            self.term, self.words = [" ".join(self.words)], []
        else:
            self._end(keeps_term=macro == "RS")

    def _macro(self, macro: str, arguments: list[str]) -> str:
        if macro in _FONTS:
            return ("" if macro in _JOINED else " ").join(arguments)
        return self._inline([macro, *arguments])

    def _inline(self, parts: list[str]) -> str:
        """The words of a line of mdoc, in which macros call each other."""
        return _spaced(self._words(iter(parts)))

    def _words(self, parts: Iterator[str]) -> Iterator[str]:
        closing: list[str] = []
        for part in parts:
            if part == "Fl":
                yield "-\0"
            elif part == "Nm":
                given = next(parts, "")
                self.name = self.name or given
                yield given or self.name
            elif part == "Nd":
                yield "-"
            elif part == "Xr":
                yield f"{next(parts, '')}({next(parts, '')})"
            elif part in _OPENED:
                yield f"{_OPENED[part]}\0"
                closing.append(_CLOSED[_OPENED[part]])
            elif part == "Oc":
                yield "\0]"
            elif part == "Ns":
                yield "\0"
            elif part not in _WORDLESS:
                yield f"\0{part}" if part in _CLOSERS else part
        yield from (f"\0{mark}" for mark in reversed(closing))

    def _text(self, text: str) -> None:
        if self.waits_for_term and text.strip():
            self.term.append(text.strip())
            self.waits_for_term = False
        elif text.strip() or self.is_code:
            self.words.append(text if self.is_code else " ".join(text.split()))
        else:
            self._end()

    def _end(self, keeps_term: bool = False) -> None:
        """End a paragraph. Its term is put into its first line, so that a quote includes it."""
        told = ("\n" if self.is_code else " ").join(self.words).strip("\n")
        self.words = []
        if told and self.term:
            told, self.term = f"{', '.join(self.term)}: {told}", []
        elif not keeps_term and not told and self.term:
            return
        self.blocks.paragraph(told)

    def file_text(self) -> FileText:
        self._end()
        self.blocks.paragraph(", ".join(self.term))
        return self.blocks.file_text(self.title)


def _page_name(arguments: list[str]) -> str:
    name, section = (*arguments, "", "")[:2]
    return f"{name.lower()}({section})" if section else name.lower()


def _spaced(words: Iterator[str]) -> str:
    return re.sub(r" ?\0 ?", "", " ".join(words))
