"""Tokens of protobuf's text format, with their places."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple


class TokenKind(IntEnum):
    """Kinds of token, by the number of their group in the pattern."""

    NAME = 1
    NUMBER = 2
    STRING = 3
    SYMBOL = 4
    PLACEHOLDER = 5
    OPEN_STRING = 6
    JUNK = 7
    END = 8


class Token(NamedTuple):
    """A token and where it starts and ends."""

    kind: int
    text: str
    start: int
    end: int


_TOKEN = re.compile(
    r"""(?:[ \t\r\n\f\v]+|\#[^\n\0]*)*                     # skipped: space and comments
    (?:([A-Za-z_][A-Za-z0-9_]*)
    |(0[xX][0-9a-fA-F]+|(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[fF]?)
    |("(?:[^"\\\n\0]|\\.)*"|'(?:[^'\\\n\0]|\\.)*')
    |([{}\[\]<>:;,\-./])
    |(\$\{[^}\n]*\}?|\{\{[^}\n]*\}\})
    |(["'][^\n]*)
    |([^ \t\r\n\f\v\#])
    |(\Z)
    )""",
    re.VERBOSE,
)
_COMMENT = re.compile(r""""(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|(\#[^\n]*)""")


def tokenize(text: str) -> list[Token]:
    """All tokens; the last is of kind END."""
    tokens: list[Token] = []
    new, add = tuple.__new__, tokens.append  # Token(…) would take twice the time
    for match in _TOKEN.finditer(text):
        kind = match.lastindex
        assert kind is not None  # every alternative is a group
        start, end = match.span(kind)
        add(new(Token, (kind, text[start:end], start, end)))
    return tokens


def comments(text: str) -> Iterator[Token]:
    """Every comment, from its `#` to the end of its line."""
    for match in _COMMENT.finditer(text):
        if match[1]:
            yield Token(TokenKind.JUNK, match[1], *match.span(1))


class Places:
    """Line and column of an offset into a text, both counted from 1."""

    def __init__(self, text: str) -> None:
        self.starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def line_and_column(self, offset: int) -> tuple[int, int]:
        """Columns count characters."""
        line = bisect_right(self.starts, offset)
        return line, offset - self.starts[line - 1] + 1


def is_symbol(token: Token) -> bool:
    return token.kind == TokenKind.SYMBOL


def quoted(token: Token) -> str:
    """The token as messages show it."""
    if token.kind == TokenKind.END:
        return "the end of the file"
    text = token.text if len(token.text) <= 40 else f"{token.text[:40]}…"
    return text if token.kind == TokenKind.STRING else f"'{character(text)}'"


def character(text: str) -> str:
    """Text, with what can't be printed as escapes."""
    return text if text.isprintable() else text.encode("unicode_escape", "replace").decode()
