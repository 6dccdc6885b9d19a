"""`config.pbtxt` read with Triton's schema; every fault is reported, reading goes on after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_rag.lint import reading as rules
from triton_rag.lint.cursor import Cursor, is_symbol
from triton_rag.lint.findings import Problem
from triton_rag.lint.literals import BadLiteral, read_float, read_integer, read_string
from triton_rag.lint.nodes import Message, Node, Scalar, Span
from triton_rag.lint.schema import FieldType, Kind, MessageType, model_config_type
from triton_rag.lint.spelling import did_you_mean, nearest
from triton_rag.lint.token_text import character, quoted, requoted
from triton_rag.lint.tokens import Token, TokenKind, tokenize
from triton_rag.lint.versions import FIRST_VERSION, Version

MAX_FAULTS = 50
"""Of one file: binary junk would otherwise give one a byte."""

_CLOSING = {"{": "}", "<": ">"}
_TRUE, _FALSE = ("true", "True", "t"), ("false", "False", "f")


class _Stop(Exception):
    """A fault that keeps the rest of this field from being read; it is already reported."""


@dataclass(frozen=True)
class Parsed:
    """A file's content, as far as it could be read, and its faults."""

    root: Message
    problems: tuple[Problem, ...]


def parse(text: str, triton: Version) -> Parsed:
    """Read a model configuration as `triton` would."""
    reader = _Reader(tokenize(text), triton)
    root = reader.message(model_config_type(), closing="")
    return Parsed(root, tuple(reader.problems))


class _Reader(Cursor):
    """Reads messages and notes faults."""

    def __init__(self, tokens: list[Token], triton: Version) -> None:
        super().__init__(tokens)
        self.triton = triton
        self.problems: list[Problem] = []

    def message(self, message_type: MessageType, closing: str) -> Message:
        """Fields up to `closing`, which is consumed; "" is the end of the text."""
        start = self.tokens[self.index].start
        nodes: list[Node] = []
        while True:
            token = self.tokens[self.index]
            if token.kind == TokenKind.END or (token.text == closing and is_symbol(token)):
                break
            if len(self.problems) >= MAX_FAULTS:
                self.index = len(self.tokens) - 1
                break
            self._field(message_type, nodes, closing)
        if closing:
            self._close(token, closing, message_type)
        return Message(message_type, Span(start, self.tokens[self.index - 1].end), nodes)

    def _close(self, token: Token, closing: str, message_type: MessageType) -> None:
        if token.kind == TokenKind.END:
            self._fault(rules.UNCLOSED, token, f"'{closing}' of {message_type.name} is missing")
        else:
            self.index += 1

    def _field(self, message_type: MessageType, nodes: list[Node], closing: str) -> None:
        """One field with its values, and the separator after it."""
        token = self.tokens[self.index]
        try:
            if token.kind != TokenKind.NAME:
                self._no_field_name(token, message_type)
            field_type = message_type.fields.get(token.text)
            if field_type is None:
                self._unknown(token, message_type)
            else:
                self.index += 1
                self._known(token, field_type, message_type, nodes)
        except _Stop:
            self.skip_to_next_field(closing)
        if self.tokens[self.index].text in (";", ",") and is_symbol(self.tokens[self.index]):
            self.index += 1

    def _no_field_name(self, token: Token, message_type: MessageType) -> None:
        if token.kind == TokenKind.PLACEHOLDER:
            self._fault(rules.PLACEHOLDER, token, f"{token.text} was not filled in")
        elif token.kind == TokenKind.JUNK and (token.text < " " or token.text > "~"):
            self._fault(rules.JUNK, token, f"{character(token.text)} is no text of a configuration")
        else:
            self._fault(
                rules.SYNTAX, token, f"{quoted(token)} where a field of {message_type.name} begins"
            )
        self.index += 1
        raise _Stop

    def _unknown(self, token: Token, message_type: MessageType) -> None:
        since = Version.of_field(message_type.name, token.text)
        if since is not FIRST_VERSION:  # newer than the installed tritonclient's schema
            self._check_version(token, since)
            self.index += 1
            self.skip_value()
            return
        hint = did_you_mean(token.text, message_type.fields)
        text = f"{message_type.name} has no field '{token.text}'{hint}"
        self._fault(rules.UNKNOWN_FIELD, token, text, nearest(token.text, message_type.fields))
        self.index += 1
        self.skip_value()

    def _known(
        self, name: Token, field_type: FieldType, parent: MessageType, nodes: list[Node]
    ) -> None:
        if field_type.since is not FIRST_VERSION:
            self._check_version(name, field_type.since)
        self._check_unique(name, field_type, parent, nodes)
        read = self._message_value if field_type.kind is Kind.MESSAGE else self._scalar_value
        token = self.tokens[self.index]
        if token.text == ":" and is_symbol(token):
            self.index += 1
        elif field_type.kind is not Kind.MESSAGE:
            self._fault(rules.SYNTAX, token, f"':' is missing after '{name.text}'")
            raise _Stop
        for value, at in self._values(field_type, read):
            nodes.append(Node(name.text, Span(name.start, at.end), value, at))

    def _check_version(self, name: Token, since: Version) -> None:
        if since > self.triton:
            text = f"'{name.text}' came with Triton {since.describe()}; {self.triton.describe()}"
            self._fault(rules.NEWER_FIELD, name, f"{text} refuses the file")

    def _check_unique(
        self, name: Token, field_type: FieldType, parent: MessageType, nodes: list[Node]
    ) -> None:
        if field_type.repeated:
            return
        for node in nodes:
            if node.field == name.text and (
                field_type.has_presence or not _is_default(node.value, field_type)
            ):
                self._fault(
                    rules.DUPLICATE, name, f"'{name.text}' is already set; it takes one value"
                )
                return
            other = parent.fields[node.field]
            if field_type.oneof and other.oneof == field_type.oneof and other is not field_type:
                choice = [each.name for each in parent.fields.values() if each.oneof == other.oneof]
                self._fault(
                    rules.ONEOF,
                    name,
                    f"'{name.text}' beside '{node.field}': only one of {', '.join(choice)} "
                    f"can be set",
                )
                return

    def _values(
        self, field_type: FieldType, read: "Callable[[FieldType], tuple[Scalar | Message, Span]]"
    ) -> Iterator[tuple[Scalar | Message, Span]]:
        """The value, or those of a list."""
        token = self.tokens[self.index]
        if token.text != "[" or not is_symbol(token) or not field_type.repeated:
            yield read(field_type)
            return
        self.index += 1
        if self.tokens[self.index].text == "]":
            self.index += 1
            return
        while True:
            yield read(field_type)
            token = self.tokens[self.index]
            self.index += 1
            if token.text == "]":
                return
            if token.text != ",":
                self.index -= 1
                self._fault(
                    rules.SYNTAX,
                    token,
                    f"{quoted(token)} in the list of '{field_type.name}', where ',' or ']' is due",
                )
                raise _Stop

    def _message_value(self, field_type: FieldType) -> tuple[Message, Span]:
        token = self.tokens[self.index]
        closing = _CLOSING.get(token.text)
        if closing is None:
            self._fault(
                rules.SYNTAX, token, f"{quoted(token)} where '{{' of '{field_type.name}' is due"
            )
            raise _Stop
        self.index += 1
        assert field_type.message is not None
        message = self.message(field_type.message, closing)
        return message, Span(token.start, self.tokens[self.index - 1].end)

    def _scalar_value(self, field_type: FieldType) -> tuple[Scalar, Span]:
        first = self.tokens[self.index]
        negative = first.text == "-" and is_symbol(first)
        if negative:
            self.index += 1
        token = self.tokens[self.index]
        try:
            value = _READERS[field_type.kind](self, field_type, token, negative)
        except BadLiteral as error:
            self._bad_value(first, token, field_type, str(error))
            raise _Stop from None
        return value, Span(first.start, self.tokens[self.index - 1].end)

    def _bad_value(self, first: Token, token: Token, field_type: FieldType, why: str) -> None:
        if token.kind == TokenKind.PLACEHOLDER:
            self._fault(rules.PLACEHOLDER, token, f"{token.text} was not filled in")
        elif token.kind == TokenKind.OPEN_STRING:
            self._fault(rules.SYNTAX, token, "this string has no end on its line")
        elif field_type.kind is Kind.ENUM and token.kind == TokenKind.NAME:
            assert field_type.enum is not None
            meant = nearest(token.text, field_type.enum.numbers)
            self._fault(rules.ENUMERATOR, first, why, meant)
        else:
            meant = requoted(first, field_type)
            self._fault(rules.WRONG_TYPE, first, f"'{field_type.name}' {why}", meant)

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
                + (did_you_mean(token.text, enum.numbers) or f": {', '.join(enum.numbers)}")
            )
        self.index += 1
        return token.text

    def _fault(self, rule: str, token: Token, text: str, replacement: str | None = None) -> None:
        if len(self.problems) < MAX_FAULTS:
            at = Span(token.start, max(token.end, token.start + 1))
            self.problems.append(Problem(at, text, rule, replacement=replacement))


_READERS: dict[Kind, Callable[[_Reader, FieldType, Token, bool], Scalar]] = {
    Kind.STRING: _Reader._string,
    Kind.INTEGER: _Reader._integer,
    Kind.FLOAT: _Reader._float,
    Kind.BOOL: _Reader._bool,
    Kind.ENUM: _Reader._enumerator,
}


def _is_default(value: "Scalar | Message", field_type: FieldType) -> bool:
    """Whether protobuf takes a field of this value for unset."""
    if field_type.enum is not None:
        return value == field_type.enum.names.get(0)
    return not isinstance(value, Message) and not value
