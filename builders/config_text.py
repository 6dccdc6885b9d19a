"""Model configurations in protobuf's text format; a message takes one line where it fits."""

import io
from collections.abc import Iterator
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as schema

WIDTH = 100
INDENT = "  "


def config_text(config: schema.ModelConfig) -> str:
    """Text that parses back to `config`; proto3 text drops `max_batch_size: 0`, so it is added."""
    lines = list(message_lines(config))
    if config.max_batch_size == 0:
        lines.append("max_batch_size: 0")
    text = "\n".join(lines) + "\n"
    if text_format.Parse(text, schema.ModelConfig()) != config:
        raise AssertionError(f"config of '{config.name}' has a text that parses to another message")
    return text


def message_lines(message: Any, indent: str = "") -> Iterator[str]:
    """Fields in the schema's order; a nested message takes one line where `WIDTH` allows it."""
    for field, value in message.ListFields():
        for element in _elements(field, value):
            out = io.StringIO()
            text_format.PrintField(
                field, element, out, as_one_line=True, use_short_repeated_primitives=True
            )
            line = indent + out.getvalue().rstrip()
            if field.message_type is None or len(line) <= WIDTH:
                yield line
            else:
                yield f"{indent}{field.name} {{"
                yield from message_lines(element, indent + INDENT)
                yield f"{indent}}}"


def _elements(field: Any, value: Any) -> Iterator[Any]:
    """The values of a field: one, those of a repeated field, or the sorted entries of a map."""
    if field.message_type and field.message_type.GetOptions().map_entry:
        entry = value.GetEntryClass()
        for key in sorted(value):
            yield entry(key=key, value=value[key])
    elif field.is_repeated:
        yield from value
    else:
        yield value
