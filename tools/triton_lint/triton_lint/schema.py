"""Triton's model configuration schema, taken from the protobuf descriptors of tritonclient."""

import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from triton_lint.versions import FIRST_VERSION, Version


class Kind(IntEnum):
    """What a field holds, as far as its text is concerned."""

    MESSAGE = 1
    ENUM = 2
    STRING = 3
    BOOL = 4
    FLOAT = 5
    INTEGER = 6


_FLOATS = {1, 2}
_RANGES = {
    3: (-(2**63), 2**63 - 1),
    4: (0, 2**64 - 1),
    5: (-(2**31), 2**31 - 1),
    13: (0, 2**32 - 1),
}
"""Smallest and largest value by protobuf's type number: int64, uint64, int32, uint32."""


@dataclass(frozen=True)
class EnumType:
    """The enumerators of an enum, by name and by number."""

    name: str
    numbers: Mapping[str, int]
    names: Mapping[int, str]


@dataclass(frozen=True)
class FieldType:
    """One field of a message."""

    name: str
    kind: Kind
    repeated: bool = False
    is_map: bool = False
    has_presence: bool = False
    """Whether protobuf can tell an unset field from its default; if not, a first value that equals
    the default may be given again."""
    oneof: str = ""
    bounds: tuple[int, int] = (0, 0)
    enum: EnumType | None = None
    message: "MessageType | None" = None
    since: Version = FIRST_VERSION


@dataclass(frozen=True)
class MessageType:
    """A message: its fields by name."""

    name: str
    fields: Mapping[str, FieldType] = field(default_factory=dict)


@cache
def model_config_type() -> MessageType:
    """The schema of `config.pbtxt`."""
    return _message(_descriptors().ModelConfig.DESCRIPTOR, {})


def _descriptors() -> Any:
    """The generated module alone: importing its package would import gRPC, which costs 0.4 s."""
    name = "tritonclient.grpc.model_config_pb2"
    if name in sys.modules:
        return sys.modules[name]
    package = importlib.util.find_spec("tritonclient")
    for folder in (package.submodule_search_locations or []) if package else []:
        path = Path(folder) / "grpc" / "model_config_pb2.py"
        if path.is_file():
            return _load(path)
    return importlib.import_module(name)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("_triton_model_config_pb2", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _message(descriptor: Any, known: dict[str, MessageType]) -> MessageType:
    name = descriptor.full_name.removeprefix("inference.")
    if name not in known:
        fields: dict[str, FieldType] = {}
        known[name] = MessageType(name, fields)
        for each in descriptor.fields:
            fields[each.name] = _field(each, name, known)
    return known[name]


def _field(descriptor: Any, parent: str, known: dict[str, MessageType]) -> FieldType:
    message = descriptor.message_type
    return FieldType(
        name=descriptor.name,
        kind=_kind(descriptor),
        repeated=_is_repeated(descriptor),
        is_map=bool(message and message.GetOptions().map_entry),
        has_presence=bool(descriptor.has_presence),
        oneof=descriptor.containing_oneof.name if descriptor.containing_oneof else "",
        bounds=_RANGES.get(descriptor.type, (0, 0)),
        enum=_enum(descriptor.enum_type) if descriptor.enum_type else None,
        message=_message(message, known) if message else None,
        since=Version.of_field(parent, descriptor.name),
    )


def _is_repeated(descriptor: Any) -> bool:
    """`label` is deprecated in newer protobuf releases, its successor is missing in older ones."""
    if hasattr(descriptor, "is_repeated"):
        return bool(descriptor.is_repeated)
    return bool(descriptor.label == descriptor.LABEL_REPEATED)


def _kind(descriptor: Any) -> Kind:
    if descriptor.message_type:
        return Kind.MESSAGE
    if descriptor.enum_type:
        return Kind.ENUM
    if descriptor.type == descriptor.TYPE_STRING:
        return Kind.STRING
    if descriptor.type == descriptor.TYPE_BOOL:
        return Kind.BOOL
    return Kind.FLOAT if descriptor.type in _FLOATS else Kind.INTEGER


def _enum(descriptor: Any) -> EnumType:
    numbers = {value.name: value.number for value in descriptor.values}
    names = {number: name for name, number in numbers.items()}
    return EnumType(descriptor.full_name.removeprefix("inference."), numbers, names)
