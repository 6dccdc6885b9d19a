"""`config.pbtxt` read with Triton's schema; every fault is reported, reading goes on after it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from triton_lint import rule_ids
from triton_lint.config_tree import Message, Node, Scalar, Span
from triton_lint.findings import Problem
from triton_lint.schema import FieldType, Kind, MessageType, model_config_type
from triton_lint.spelling import did_you_mean
from triton_lint.tokens import Token, TokenKind, character, is_symbol, quoted, tokenize
from triton_lint.values import MAX_FAULTS, Stop, ValueReader
from triton_lint.versions import FIRST_VERSION, Version

_CLOSING = {"{": "}", "<": ">"}


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


@dataclass
class _Draft:
    """A message that is being read."""

    type: MessageType
    nodes: list[Node]


class _Reader(ValueReader):
    """Reads messages and notes faults."""

    def __init__(self, tokens: list[Token], triton: Version) -> None:
        super().__init__(tokens)
        self.triton = triton

    def message(self, message_type: MessageType, closing: str) -> Message:
        """Fields up to `closing`, which is consumed; "" is the end of the text."""
        start = self.tokens[self.index].start
        draft = _Draft(message_type, [])
        while True:
            token = self.tokens[self.index]
            if token.kind == TokenKind.END or (token.text == closing and is_symbol(token)):
                break
            if len(self.problems) >= MAX_FAULTS:
                self.index = len(self.tokens) - 1
                break
            self._field(draft, closing)
        if closing:
            self._close(token, closing, message_type)
        at = Span(start, self.tokens[self.index - 1].end)
        return Message(message_type, at, draft.nodes)

    def _close(self, token: Token, closing: str, message_type: MessageType) -> None:
        if token.kind == TokenKind.END:
            self.fault(rule_ids.UNCLOSED, token, f"'{closing}' of {message_type.name} is missing")
        else:
            self.index += 1

    def _field(self, draft: _Draft, closing: str) -> None:
        """One field with its values, and the separator after it."""
        token = self.tokens[self.index]
        try:
            if token.kind != TokenKind.NAME:
                self._no_field_name(token, draft)
            self._check_space(token)
            field_type = draft.type.fields.get(token.text)
            if field_type is None:
                self._unknown(token, draft)
            else:
                self.index += 1
                self._known(token, field_type, draft)
        except Stop:
            self.skip_to_next_field(closing)
        if self.tokens[self.index].text in (";", ",") and is_symbol(self.tokens[self.index]):
            self.index += 1

    def _check_space(self, name: Token) -> None:
        before = self.tokens[self.index - 1] if self.index else name
        if before.kind == TokenKind.NUMBER and before.end == name.start:
            text = f"a space is due between {before.text} and '{name.text}'"
            self.fault(rule_ids.SYNTAX, name, text)

    def _no_field_name(self, token: Token, draft: _Draft) -> None:
        if token.kind == TokenKind.PLACEHOLDER:
            self.fault(rule_ids.PLACEHOLDER, token, f"{token.text} was not filled in")
        elif token.kind == TokenKind.JUNK and (token.text < " " or token.text > "~"):
            self.fault(
                rule_ids.JUNK, token, f"{character(token.text)} is no text of a configuration"
            )
        else:
            self.fault(
                rule_ids.SYNTAX, token, f"{quoted(token)} where a field of {draft.type.name} begins"
            )
        self.index += 1
        raise Stop

    def _unknown(self, token: Token, draft: _Draft) -> None:
        """A field that the schema lacks: which one is meant is in doubt."""
        self.index += 1
        hint = did_you_mean(token.text, draft.type.fields)
        self.fault(
            rule_ids.UNKNOWN_FIELD, token, f"{draft.type.name} has no field '{token.text}'{hint}"
        )
        self.skip_value()

    def _known(self, name: Token, field_type: FieldType, draft: _Draft) -> None:
        if field_type.since is not FIRST_VERSION:
            self._check_version(name, field_type.since)
        self._check_unique(name, field_type, draft)
        self._read_values(name, field_type, draft.nodes)

    def _read_values(self, name: Token, field_type: FieldType, nodes: list[Node]) -> None:
        read = self._message_value if field_type.kind is Kind.MESSAGE else self.scalar_value
        token = self.tokens[self.index]
        if token.text == ":" and is_symbol(token):
            self.index += 1
        elif field_type.kind is not Kind.MESSAGE:
            self.fault(rule_ids.SYNTAX, token, f"':' is missing after '{name.text}'")
            raise Stop
        before = len(nodes)
        for value, at in self._values(field_type, read):
            nodes.append(Node(field_type.name, at, value, at))
        whole = Span(name.start, self.tokens[self.index - 1].end)
        nodes[before:] = [node._replace(at=whole) for node in nodes[before:]]

    def _check_version(self, name: Token, since: Version) -> None:
        if since > self.triton:
            text = f"'{name.text}' came with Triton {since.describe()}; {self.triton.describe()}"
            self.fault(rule_ids.NEWER_FIELD, name, f"{text} refuses the file")

    def _check_unique(self, name: Token, field_type: FieldType, draft: _Draft) -> None:
        if field_type.repeated:
            return
        for node in draft.nodes:
            other = draft.type.fields[node.field]
            if other is field_type and (
                field_type.has_presence or not _is_default(node.value, field_type)
            ):
                text = f"'{field_type.name}' is already set; it takes one value"
                self.fault(rule_ids.DUPLICATE, name, text)
                return
            if field_type.oneof and other.oneof == field_type.oneof and other is not field_type:
                fields = draft.type.fields.values()
                choice = [each.name for each in fields if each.oneof == other.oneof]
                text = f"'{field_type.name}' beside '{node.field}': only one of"
                self.fault(rule_ids.ONEOF, name, f"{text} {', '.join(choice)} can be set")
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
                self.fault(
                    rule_ids.SYNTAX,
                    token,
                    f"{quoted(token)} in the list of '{field_type.name}', where ',' or ']' is due",
                )
                raise Stop

    def _message_value(self, field_type: FieldType) -> tuple[Message, Span]:
        token = self.tokens[self.index]
        closing = _CLOSING.get(token.text)
        if closing is None:
            self.fault(
                rule_ids.SYNTAX, token, f"{quoted(token)} where '{{' of '{field_type.name}' is due"
            )
            raise Stop
        self.index += 1
        assert field_type.message is not None
        message = self.message(field_type.message, closing)
        return message, Span(token.start, self.tokens[self.index - 1].end)


def _is_default(value: "Scalar | Message", field_type: FieldType) -> bool:
    """Whether protobuf takes a field of this value for unset."""
    if field_type.enum is not None:
        return value == field_type.enum.names.get(0)
    return not isinstance(value, Message) and not value
