"""Triton's model configuration schema, read from `schema.txt`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from pathlib import Path


class Kind(IntEnum):
    """What a field holds, as far as its text is concerned."""

    MESSAGE = 1
    ENUM = 2
    STRING = 3
    BOOL = 4
    FLOAT = 5
    INTEGER = 6


_SCALARS = {"string": Kind.STRING, "bool": Kind.BOOL, "float": Kind.FLOAT, "double": Kind.FLOAT}
_RANGES = {
    "int64": (-(2**63), 2**63 - 1),
    "uint64": (0, 2**64 - 1),
    "int32": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
}
"""Smallest and largest value."""


@dataclass(frozen=True)
class EnumType:
    """The enumerators of an enum, by name and by number."""

    name: str
    numbers: Mapping[str, int]

    @property
    def names(self) -> Mapping[int, str]:
        return {number: name for name, number in self.numbers.items()}


@dataclass(frozen=True)
class FieldType:
    """One field of a message."""

    name: str
    kind: Kind
    repeated: bool = False
    is_map: bool = False
    oneof: str = ""
    bounds: tuple[int, int] = (0, 0)
    enum: EnumType | None = None
    message: "MessageType | None" = None

    @property
    def has_presence(self) -> bool:
        """Whether protobuf can tell an unset field from its default; if not, a first value that
        equals the default may be given again."""
        return bool((self.message and not self.repeated) or self.oneof)


@dataclass(frozen=True)
class MessageType:
    """A message: its fields by name."""

    name: str
    fields: dict[str, FieldType] = field(default_factory=dict)


@cache
def model_config_type() -> MessageType:
    """The schema of `config.pbtxt`."""
    text = Path(__file__).with_name("schema.txt").read_text(encoding="utf-8")
    blocks = [block.splitlines() for block in text.partition("\n\n")[2].strip().split("\n\n")]
    found: dict[str, dict[str, list[list[str]]]] = {"message": {}, "enum": {}}
    for head, *lines in blocks:
        what, _, name = head.partition(" ")
        found[what][name] = [line.split() for line in lines]
    enums = {name: _enum(name, values) for name, values in found["enum"].items()}
    messages = {name: MessageType(name) for name in found["message"]}
    for name, fields in found["message"].items():
        known = (_field(words, enums, messages) for words in fields)
        messages[name].fields.update({each.name: each for each in known})
    return messages["ModelConfig"]


def _enum(name: str, values: list[list[str]]) -> EnumType:
    return EnumType(name, {word: int(number) for word, number in values})


def _field(
    words: list[str], enums: Mapping[str, EnumType], messages: Mapping[str, MessageType]
) -> FieldType:
    """`[oneof GROUP] [repeated] TYPE NAME`, or `map KEY VALUE NAME`."""
    oneof, words = (words[1], words[2:]) if words[0] == "oneof" else ("", words)
    *before, kind, name = words
    message = messages.get(kind)
    if before[:1] == ["map"]:
        sides = (
            _field([before[1], "key"], enums, messages),
            _field([kind, "value"], enums, messages),
        )
        message = MessageType(f"{name} entry", {side.name: side for side in sides})
    default = Kind.MESSAGE if message else Kind.ENUM if kind in enums else Kind.INTEGER
    return FieldType(
        name=name,
        kind=default if message else _SCALARS.get(kind, default),
        repeated=bool(before),
        is_map=before[:1] == ["map"],
        oneof=oneof,
        bounds=_RANGES.get(kind, (0, 0)),
        enum=enums.get(kind),
        message=message,
    )
