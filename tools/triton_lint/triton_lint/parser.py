"""`config.pbtxt` read with Triton's schema, up to its first fault."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_lint import rule_ids
from triton_lint.config_tree import Message, Node, Scalar, Span
from triton_lint.findings import Problem
from triton_lint.literals import BadLiteral, read_float, read_integer, read_string
from triton_lint.schema import FieldType, Kind, MessageType, model_config_type
from triton_lint.spelling import did_you_mean, hint
from triton_lint.tokens import Token, TokenKind, character, is_symbol, quoted, tokenize

_TRUE, _FALSE = ("true", "True", "t"), ("false", "False", "f")


@dataclass(frozen=True)
class Parsed:
    """A file's content, or its first fault and no content."""

    root: Message
    problem: Problem | None = None


def parse(text: str) -> Parsed:
    """Read a model configuration as Triton would."""
    try:
        return Parsed(_Reader(tokenize(text)).message(model_config_type(), closing=""))
    except _Fault as fault:
        return Parsed(Message(model_config_type(), Span(0, 0), []), fault.problem)


class _Fault(Exception):
    """What keeps the text from being read."""

    def __init__(self, rule: str, token: Token, text: str) -> None:
        at = Span(token.start, max(token.end, token.start + 1))
        self.problem = Problem(at, text, rule)


class _Reader:
    """Reads messages and values from tokens, of which `index` is the next."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens, self.index = tokens, 0

    @property
    def token(self) -> Token:
        return self.tokens[self.index]

    def message(self, message_type: MessageType, closing: str) -> Message:
        """Fields up to `closing`, which is consumed; "" is the end of the text."""
        start = self.token.start
        nodes: list[Node] = []
        while not (closing and self._takes(closing)):
            if self.token.kind != TokenKind.END:
                self._field(message_type, nodes)
            elif closing:
                text = f"'{closing}' of {message_type.name} is missing"
                raise _Fault(rule_ids.UNCLOSED, self.token, text)
            else:
                break
        return Message(message_type, Span(start, self._end), nodes)

    @property
    def _end(self) -> int:
        """Where the last token that was read ends."""
        return self.tokens[self.index - 1].end

    def _takes(self, symbol: str) -> bool:
        """Whether this symbol is next; then it is read."""
        is_next = self.token.text == symbol and is_symbol(self.token)
        self.index += is_next
        return is_next

    def _field(self, owner: MessageType, nodes: list[Node]) -> None:
        """One field with its values, and the separator after it."""
        name = self._name(owner)
        field_type = owner.fields.get(name.text)
        if field_type is None:
            text = f"{owner.name} has no field '{name.text}'"
            raise _Fault(rule_ids.UNKNOWN_FIELD, name, text + did_you_mean(name.text, owner.fields))
        _check_unique(name, field_type, owner, nodes)
        if not self._takes(":") and field_type.kind is not Kind.MESSAGE:
            raise _Fault(rule_ids.SYNTAX, self.token, f"':' is missing after '{name.text}'")
        read = self._message_value if field_type.kind is Kind.MESSAGE else self._scalar_value
        found = list(self._values(field_type, read))
        at = Span(name.start, self._end)
        nodes += [Node(field_type.name, at, value, value_at) for value, value_at in found]
        if not self._takes(";"):
            self._takes(",")

    def _name(self, owner: MessageType) -> Token:
        token, before = self.token, self.tokens[max(0, self.index - 1)]
        if token.kind == TokenKind.PLACEHOLDER:
            raise _Fault(rule_ids.PLACEHOLDER, token, f"{token.text} was not filled in")
        if token.kind == TokenKind.JUNK and (token.text < " " or token.text > "~"):
            text = f"{character(token.text)} is no text of a configuration"
            raise _Fault(rule_ids.JUNK, token, text)
        if token.kind != TokenKind.NAME:
            text = f"{quoted(token)} where a field of {owner.name} begins"
            raise _Fault(rule_ids.SYNTAX, token, text)
        if before.kind == TokenKind.NUMBER and before.end == token.start:
            text = f"a space is due between {before.text} and '{token.text}'"
            raise _Fault(rule_ids.SYNTAX, token, text)
        self.index += 1
        return token

    def _values(
        self, field_type: FieldType, read: Callable[[FieldType], tuple[Scalar | Message, Span]]
    ) -> Iterator[tuple[Scalar | Message, Span]]:
        """The value, or those of a list."""
        if not field_type.repeated or not self._takes("["):
            yield read(field_type)
            return
        if self._takes("]"):
            return
        yield read(field_type)
        while not self._takes("]"):
            if not self._takes(","):
                text = f"{quoted(self.token)} in the list of '{field_type.name}', where ',' or ']'"
                raise _Fault(rule_ids.SYNTAX, self.token, f"{text} is due")
            yield read(field_type)

    def _message_value(self, field_type: FieldType) -> tuple[Message, Span]:
        first = self.token
        assert field_type.message is not None
        for opening, closing in ("{}", "<>"):
            if self._takes(opening):
                message = self.message(field_type.message, closing)
                return message, Span(first.start, self._end)
        text = f"{quoted(first)} where '{{' of '{field_type.name}' is due"
        raise _Fault(rule_ids.SYNTAX, first, text)

    def _scalar_value(self, field_type: FieldType) -> tuple[Scalar, Span]:
        first = self.token
        negative = self._takes("-")
        token = self.token
        try:
            if field_type.kind is Kind.STRING:
                value: Scalar = self._string(negative)
            else:
                value = _READERS[field_type.kind](field_type, token, negative)
                self.index += 1
        except BadLiteral as why:
            raise _bad_value(first, token, field_type, why) from None
        return value, Span(first.start, self._end)

    def _string(self, negative: bool) -> str:
        """One literal, or several that follow each other."""
        parts: list[str] = []
        while self.token.kind == TokenKind.STRING and not negative:
            parts.append(read_string(self.token.text))
            self.index += 1
        if not parts:
            raise BadLiteral(f"takes a string in quotes, not {quoted(self.token)}")
        return "".join(parts)


def _check_unique(
    name: Token, field_type: FieldType, owner: MessageType, nodes: list[Node]
) -> None:
    """Refuse a second value of a field that takes one, and a second field of a oneof."""
    for node in nodes if not field_type.repeated else ():
        other = owner.fields[node.field]
        if other is field_type and (
            field_type.has_presence or not _is_default(node.value, field_type)
        ):
            text = f"'{field_type.name}' is already set; it takes one value"
            raise _Fault(rule_ids.DUPLICATE, name, text)
        if field_type.oneof and other.oneof == field_type.oneof and other is not field_type:
            choice = [each.name for each in owner.fields.values() if each.oneof == other.oneof]
            text = f"'{field_type.name}' beside '{node.field}': only one of"
            raise _Fault(rule_ids.ONEOF, name, f"{text} {', '.join(choice)} can be set")


def _is_default(value: Scalar | Message, field_type: FieldType) -> bool:
    """Whether protobuf takes a field of this value for unset."""
    if field_type.enum is not None:
        return value == field_type.enum.names.get(0)
    return not isinstance(value, Message) and not value


def _bad_value(first: Token, token: Token, field_type: FieldType, why: BadLiteral) -> _Fault:
    if token.kind == TokenKind.PLACEHOLDER:
        return _Fault(rule_ids.PLACEHOLDER, token, f"{token.text} was not filled in")
    if token.kind == TokenKind.OPEN_STRING:
        text = "this string has no end on its line, or holds a NUL"
        return _Fault(rule_ids.SYNTAX, token, text)
    if field_type.kind is Kind.ENUM and token.kind == TokenKind.NAME:
        return _Fault(rule_ids.ENUMERATOR, first, str(why))
    return _Fault(rule_ids.WRONG_TYPE, first, f"'{field_type.name}' {why}")


def _integer(field_type: FieldType, token: Token, negative: bool) -> int:
    if token.kind != TokenKind.NUMBER:
        raise BadLiteral(f"takes an integer, not {quoted(token)}")
    if negative and field_type.bounds[0] == 0:
        raise BadLiteral(f"takes no sign, and this is -{token.text}")
    return read_integer(token.text, negative, field_type.bounds)


def _float(_: FieldType, token: Token, negative: bool) -> float:
    if token.kind not in (TokenKind.NUMBER, TokenKind.NAME):
        raise BadLiteral(f"takes a number, not {quoted(token)}")
    value = read_float(token.text)
    return -value if negative else value


def _bool(_: FieldType, token: Token, negative: bool) -> bool:
    if not negative and token.kind == TokenKind.NAME and token.text in _TRUE + _FALSE:
        return token.text in _TRUE
    if not negative and token.kind == TokenKind.NUMBER and read_integer(token.text) in (0, 1):
        return read_integer(token.text) == 1
    raise BadLiteral(f"takes true or false, not {quoted(token)}")


def _enumerator(field_type: FieldType, token: Token, negative: bool) -> str:
    enum = field_type.enum
    assert enum is not None
    if token.kind == TokenKind.NUMBER:
        number = read_integer(token.text, negative, (-(2**31), 2**31 - 1))
        return enum.names.get(number, str(number))
    if token.kind != TokenKind.NAME or negative:
        raise BadLiteral(f"takes an enumerator, not {quoted(token)}")
    if token.text not in enum.numbers:
        known = hint(token.text, enum) or f": {', '.join(enum.numbers)}"
        raise BadLiteral(f"{enum.name} has no value '{token.text}'{known}")
    return token.text


_READERS: dict[Kind, Callable[[FieldType, Token, bool], Scalar]] = {
    Kind.INTEGER: _integer,
    Kind.FLOAT: _float,
    Kind.BOOL: _bool,
    Kind.ENUM: _enumerator,
}
