"""Values of single fields, each with its faults, and ways to get past what can't be read."""

from collections.abc import Callable

from triton_lint import rule_ids
from triton_lint.config_tree import Scalar, Span
from triton_lint.findings import Problem
from triton_lint.literals import BadLiteral, read_float, read_integer, read_string
from triton_lint.schema import FieldType, Kind
from triton_lint.spelling import hint
from triton_lint.tokens import Token, TokenKind, is_symbol, quoted

MAX_FAULTS = 50
"""Limit for one file: binary junk would otherwise give one a byte."""

_TRUE, _FALSE = ("true", "True", "t"), ("false", "False", "f")


class Stop(Exception):
    """A fault that keeps the rest of this field from being read; it is already reported."""


class ValueReader:
    """Reads values from tokens, of which `index` is the next, and notes faults."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.index = tokens, 0
        self.problems: list[Problem] = []

    def scalar_value(self, field_type: FieldType) -> tuple[Scalar, Span]:
        """The next value; `Stop` where it can't be read."""
        first = self.tokens[self.index]
        negative = first.text == "-" and is_symbol(first)
        if negative:
            self.index += 1
        token = self.tokens[self.index]
        try:
            value = _READERS[field_type.kind](self, field_type, token, negative)
        except BadLiteral as error:
            self._bad_value(first, token, field_type, error)
            raise Stop from None
        return value, Span(first.start, self.tokens[self.index - 1].end)

    def _bad_value(
        self, first: Token, token: Token, field_type: FieldType, why: BadLiteral
    ) -> None:
        if token.kind == TokenKind.PLACEHOLDER:
            self.fault(rule_ids.PLACEHOLDER, token, f"{token.text} was not filled in")
        elif token.kind == TokenKind.OPEN_STRING:
            self.fault(rule_ids.SYNTAX, token, "this string has no end on its line, or holds a NUL")
        elif field_type.kind is Kind.ENUM and token.kind == TokenKind.NAME:
            self.fault(rule_ids.ENUMERATOR, first, str(why))
        else:
            self.fault(rule_ids.WRONG_TYPE, first, f"'{field_type.name}' {why}")

    def _string(self, _: FieldType, token: Token, negative: bool) -> str:
        if token.kind != TokenKind.STRING or negative:
            raise BadLiteral(f"takes a string in quotes, not {quoted(token)}")
        parts = []
        while self.tokens[self.index].kind == TokenKind.STRING:
            parts.append(read_string(self.tokens[self.index].text))
            self.index += 1
        return "".join(parts)

    def _integer(self, field_type: FieldType, token: Token, negative: bool) -> int:
        if token.kind != TokenKind.NUMBER:
            raise BadLiteral(f"takes an integer, not {quoted(token)}")
        if negative and field_type.bounds[0] == 0:
            raise BadLiteral(f"takes no sign, and this is -{token.text}")
        value = read_integer(token.text, negative, field_type.bounds)
        self.index += 1
        return value

    def _float(self, _: FieldType, token: Token, negative: bool) -> float:
        if token.kind not in (TokenKind.NUMBER, TokenKind.NAME):
            raise BadLiteral(f"takes a number, not {quoted(token)}")
        value = read_float(token.text)
        self.index += 1
        return -value if negative else value

    def _bool(self, _: FieldType, token: Token, negative: bool) -> bool:
        self.index += 1
        if not negative and token.kind == TokenKind.NAME and token.text in _TRUE + _FALSE:
            return token.text in _TRUE
        if not negative and token.kind == TokenKind.NUMBER and read_integer(token.text) in (0, 1):
            return read_integer(token.text) == 1
        self.index -= 1
        raise BadLiteral(f"takes true or false, not {quoted(token)}")

    def _enumerator(self, field_type: FieldType, token: Token, negative: bool) -> str:
        enum = field_type.enum
        assert enum is not None
        if token.kind == TokenKind.NUMBER:
            number = read_integer(token.text, negative, (-(2**31), 2**31 - 1))
            self.index += 1
            return enum.names.get(number, str(number))
        if token.kind != TokenKind.NAME or negative:
            raise BadLiteral(f"takes an enumerator, not {quoted(token)}")
        if token.text not in enum.numbers:
            raise BadLiteral(
                f"{enum.name} has no value '{token.text}'"
                + (hint(token.text, enum) or f": {', '.join(enum.numbers)}")
            )
        self.index += 1
        return token.text

    def fault(self, rule: str, token: Token, text: str) -> None:
        if len(self.problems) < MAX_FAULTS:
            at = Span(token.start, max(token.end, token.start + 1))
            self.problems.append(Problem(at, text, rule))

    def skip_value(self) -> None:
        """Skips the value of a field that isn't known, whatever its type."""
        token = self.tokens[self.index]
        if token.text == ":":
            self.index += 1
            token = self.tokens[self.index]
        if token.text in "{<[" and is_symbol(token):
            self.skip_group()
            return
        if token.text == "-":
            self.index += 1
        if self.tokens[self.index].kind == TokenKind.STRING:
            while self.tokens[self.index].kind == TokenKind.STRING:
                self.index += 1
        elif self.tokens[self.index].kind not in (TokenKind.END, TokenKind.SYMBOL):
            self.index += 1

    def skip_group(self) -> None:
        """Skips a bracket and all up to its partner."""
        depth = 0
        while (token := self.tokens[self.index]).kind != TokenKind.END:
            if token.kind == TokenKind.SYMBOL:
                depth += (token.text in "{<[") - (token.text in "}>]")
            self.index += 1
            if depth <= 0:
                return

    def skip_to_next_field(self, closing: str) -> None:
        """Skips to what looks like the next field, or to the end of this or an outer message."""
        while (token := self.tokens[self.index]).kind != TokenKind.END:
            if token.kind == TokenKind.SYMBOL:
                if token.text in (closing, "}", ">"):
                    return
                if token.text in "{<[":
                    self.skip_group()
                    continue
            follower = self.tokens[self.index + 1]
            if token.kind == TokenKind.NAME and follower.text in (":", "{", "<"):
                return
            self.index += 1


_READERS: dict[Kind, Callable[[ValueReader, FieldType, Token, bool], Scalar]] = {
    Kind.STRING: ValueReader._string,
    Kind.INTEGER: ValueReader._integer,
    Kind.FLOAT: ValueReader._float,
    Kind.BOOL: ValueReader._bool,
    Kind.ENUM: ValueReader._enumerator,
}
