"""Reads the input `messages`: chat messages as OpenAI's API has them, in JSON."""

import json
from collections.abc import Mapping
from typing import Any

from python_backends.errors import RequestError

Message = Mapping[str, str]

JSON_ESCAPE = 6
"""Characters of JSON that may stand for one, as in `\\u00e9`."""

_FORM = 'a JSON list of {"role": "…", "content": "…"} is possible'
_FIELDS = ("role", "content", "name")


def read_messages(text: str) -> list[Message]:
    """Messages with `role`, `content` and, if given, `name`; raises `RequestError` for any other.

    A content may be a list of parts of the type text, which are joined.
    """
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"messages: not JSON; {_FORM}") from error
    if not isinstance(messages, list) or not messages:
        raise RequestError(f"messages: not a list with elements; {_FORM}")
    return [_message(f"messages[{index}]", message) for index, message in enumerate(messages)]


def _message(where: str, message: Any) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise RequestError(f"{where}: not a role and a content; {_FORM}")
    if message["role"] == "tool":
        raise RequestError(f"{where}.role: tool; this model calls no tools")
    given = {name: value for name, value in message.items() if value not in (None, [])}
    if unknown := [name for name in given if name not in _FIELDS]:
        raise RequestError(
            f"{where}.{unknown[0][:40]}: not offered; a message has {', '.join(_FIELDS)}"
        )
    values = {name: given.get(name) for name in _FIELDS if name in given or name == "content"}
    values["content"] = _content(f"{where}.content", values["content"])
    return {name: _string(f"{where}.{name}", value) for name, value in values.items()}


def _content(where: str, content: Any) -> Any:
    """A text as it is; the texts of parts, joined."""
    if not isinstance(content, list):
        return content
    for index, part in enumerate(content):
        if not isinstance(part, dict) or part.get("type") != "text" or "text" not in part:
            raise RequestError(
                f'{where}[{index}]: only {{"type": "text", "text": "…"}} is possible as a part'
            )
    return "".join(
        _string(f"{where}[{index}].text", part["text"]) for index, part in enumerate(content)
    )


def _string(where: str, value: Any) -> str:
    if not isinstance(value, str):
        raise RequestError(f"{where}: a string is needed")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"{where}: half of a surrogate pair at {error.start}") from error
    return value
