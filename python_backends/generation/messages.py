"""Reads the input `messages`: chat messages as OpenAI's API has them, in JSON."""

import json
from collections.abc import Mapping
from typing import Any

from python_backends.errors import RequestError

Message = Mapping[str, Any]
"""`role` and `content`, texts; an assistant's may have `tool_calls`, a tool's `tool_call_id`."""

JSON_ESCAPE = 6
"""Most characters that JSON may need for one, as in `\\u00e9`."""

_CALL_FORM = (
    '{"id": "…", "type": "function", "function": {"name": "…", "arguments": "{…}"}} is possible'
)
_FORM = 'a JSON list of {"role": "…", "content": "…"} is possible'
_FIELDS = ("role", "content", "name", "tool_calls", "tool_call_id")


def read_messages(text: str) -> list[Message]:
    """Messages with `role`, `content` and what else of `_FIELDS` is given; raises `RequestError`.

    A content may be a list of parts of the type text, which are joined. The arguments of calls
    become objects, which chat templates need, and a result gets the name of its function.
    """
    try:
        messages = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"messages: not JSON; {_FORM}") from error
    if not isinstance(messages, list) or not messages:
        raise RequestError(f"messages: not a list with elements; {_FORM}")
    read = [_message(f"messages[{index}]", message) for index, message in enumerate(messages)]
    return _with_names(read)


def _with_names(messages: list[Message]) -> list[Message]:
    """Results with the names of the functions that were called."""
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    names = {call["id"]: call["function"]["name"] for call in calls}
    return [
        {"name": names[message["tool_call_id"]], **message}
        if message.get("tool_call_id") in names
        else message
        for message in messages
    ]


def _message(where: str, message: Any) -> Message:
    if not isinstance(message, dict) or not {"role", "content"} <= message.keys():
        raise RequestError(f"{where}: not a role and a content; {_FORM}")
    given = {name: value for name, value in message.items() if value not in (None, [])}
    if unknown := [name for name in given if name not in _FIELDS]:
        raise RequestError(
            f"{where}.{unknown[0][:40]}: not offered; a message has {', '.join(_FIELDS)}"
        )
    values = {name: given.get(name) for name in _FIELDS if name in given or name == "content"}
    calls = values.pop("tool_calls", None)
    values["content"] = _content(f"{where}.content", values["content"])
    if calls is not None and values["content"] is None:
        values["content"] = ""  # a call without text
    texts = {name: _string(f"{where}.{name}", value) for name, value in values.items()}
    if message["role"] == "tool" and "tool_call_id" not in texts:
        raise RequestError(f"{where}.tool_call_id: missing; the id of a call is needed")
    return texts if calls is None else texts | {"tool_calls": _calls(f"{where}.tool_calls", calls)}


def _calls(where: str, calls: Any) -> list[dict[str, Any]]:
    if not isinstance(calls, list):
        raise RequestError(f"{where}: not a list; {_CALL_FORM}")
    return [_call(f"{where}[{index}]", call) for index, call in enumerate(calls)]


def _call(where: str, call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict):
        raise RequestError(f"{where}: not a call; {_CALL_FORM}")
    name = _string(f"{where}.function.name", function.get("name"))
    arguments = function.get("arguments") or "{}"
    return {
        "id": _string(f"{where}.id", call.get("id")),
        "type": "function",
        "function": {"name": name, "arguments": _object(f"{where}.function.arguments", arguments)},
    }


def _object(where: str, arguments: Any) -> dict[str, Any]:
    """The arguments of a call, an object or its JSON."""
    try:
        found = json.loads(arguments, strict=False) if isinstance(arguments, str) else arguments
        written = json.dumps(found, ensure_ascii=False)
    except (ValueError, RecursionError):
        found, written = None, ""
    if not isinstance(found, dict):
        raise RequestError(f"{where}: not an object in JSON; {_CALL_FORM}")
    _string(where, written)
    return found


def _content(where: str, content: Any) -> Any:
    """The content as it is; a list of parts as their joined texts."""
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
