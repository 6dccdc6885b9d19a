"""Replaces tensor names in errors by the field names of an API."""

from collections.abc import Mapping

from gateway.errors import GatewayError


def as_written(error: GatewayError, names: Mapping[str, str]) -> tuple[str, str]:
    """The error's message and field, with the name in `names` for that of the model."""
    message, field = str(error), error.field
    if field not in names:
        return message, field
    return message.replace(field, names[field], 1), names[field]
