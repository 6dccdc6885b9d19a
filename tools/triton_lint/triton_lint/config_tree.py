"""What a parsed `config.pbtxt` is made of: fields and values, each with its place in the file."""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from triton_lint.schema import MessageType

Scalar: TypeAlias = str | int | float | bool


class Span(NamedTuple):
    """A part of a text, by character offsets; `end` is the first that is not in it."""

    start: int
    end: int


class Node(NamedTuple):
    """One value of one field."""

    field: str
    at: Span
    """From the field's name to the end of its value, or of the list that the value is in."""
    value: "Scalar | Message"
    value_at: Span


class Entry(NamedTuple):
    """One entry of a map field."""

    key: "str | int"
    value: "Message | str"
    node: Node


class Message:
    """The fields of a message as they were written, in order."""

    __slots__ = ("_nodes", "at", "type")

    def __init__(self, message_type: MessageType, at: Span, nodes: list[Node]) -> None:
        self.type = message_type
        self.at = at
        self._nodes: dict[str, list[Node]] = {}
        for node in nodes:
            self._nodes.setdefault(node.field, []).append(node)

    def nodes(self, name: str) -> list[Node]:
        return self._nodes.get(name, [])

    def node(self, name: str) -> Node | None:
        """The value that counts: the last."""
        found = self.nodes(name)
        return found[-1] if found else None

    def __contains__(self, name: str) -> bool:
        return name in self._nodes

    def everything(self) -> "list[Node]":
        """Every value in here, those of messages inside too, each before what it holds."""
        found: list[Node] = []
        waiting = [self]
        while waiting:
            for nodes in waiting.pop()._nodes.values():
                found += nodes
                waiting += [node.value for node in nodes if isinstance(node.value, Message)]
        return found

    def fields(self) -> Iterator[str]:
        return iter(self._nodes)

    def text(self, name: str) -> str:
        """A string or an enumerator's name; "" where it is not set."""
        node = self.node(name)
        return str(node.value) if node else ""

    def number(self, name: str) -> float:
        """A number of any kind; 0 where it is not set."""
        node = self.node(name)
        return node.value if node and isinstance(node.value, int | float) else 0

    def flag(self, name: str) -> bool:
        """A bool; false where it is not set."""
        node = self.node(name)
        return bool(node and node.value)

    def child(self, name: str) -> "Message | None":
        """A message; None where it is not set."""
        node = self.node(name)
        return node.value if node and isinstance(node.value, Message) else None

    def child_or_empty(self, name: str) -> "Message":
        """A message; an empty one where it is not set."""
        message_type = self.type.fields[name].message
        assert message_type is not None
        return self.child(name) or Message(message_type, self.at, [])

    def children(self, name: str) -> "list[Message]":
        """The messages of a repeated field."""
        return [node.value for node in self.nodes(name) if isinstance(node.value, Message)]

    def numbers(self, name: str) -> list[int]:
        """The numbers of a repeated field."""
        return [node.value for node in self.nodes(name) if isinstance(node.value, int)]

    def entries(self, name: str) -> list[Entry]:
        """The entries of a map as protobuf keeps them: of equal keys, the last."""
        return list({entry.key: entry for entry in self.written_entries(name)}.values())

    def written_entries(self, name: str) -> Iterator[Entry]:
        """The entries of a map as they were written."""
        numeric = "priority" in name
        for node in self.nodes(name):
            if isinstance(message := node.value, Message):
                key = message.node("key")
                value = message.node("value")
                value_type = message.type.fields["value"].message
                empty = Message(value_type, node.at, []) if value_type else ""
                yield Entry(
                    key.value if key and isinstance(key.value, str | int) else 0 if numeric else "",
                    value.value if value and isinstance(value.value, str | Message) else empty,
                    node,
                )
