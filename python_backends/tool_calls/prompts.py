"""Tools, calls and results as messages that the model's chat template takes."""

import hashlib
import re
from collections.abc import Iterator, Sequence

from ensembles.manifest import ManifestError, Prompt
from python_backends.errors import RequestError
from python_backends.generation.chat_template import strict_template
from python_backends.generation.messages import Message
from python_backends.tool_calls.definitions import Tool
from python_backends.tool_calls.syntax import SYNTAXES, Syntax

_SHORT_ID = re.compile(r"[A-Za-z0-9]{9}")


class ToolPrompts:
    """Describes tools to the model in the way that its manifest names.

    Either its chat template does that, or the manifest's template `tools`: then the chat template
    gets no tools, and calls and results are text of the assistant's and the user's turns.
    """

    def __init__(self, prompt: Prompt) -> None:
        """Raises `ManifestError`."""
        self._name = prompt.tool_calls
        what = "the text that tells of tools"
        self._text = strict_template(prompt.tools, what) if prompt.tools else None
        if self._name and self._name not in SYNTAXES:
            raise ManifestError(
                f"tool calls in the syntax '{self._name}'; known are {', '.join(SYNTAXES)}"
            )

    @property
    def syntax(self) -> Syntax:
        """Raises `RequestError` where the engine was built before models could call tools."""
        if not self._name:
            raise RequestError(
                "tools: this model's engine says nothing of them; 'make build-engines' adds it"
            )
        return SYNTAXES[self._name]

    def with_tools(
        self, messages: Sequence[Message], tools: Sequence[Tool]
    ) -> tuple[Sequence[Message], Sequence[Tool] | None]:
        """Messages and tools for the chat template; raises `RequestError`."""
        if not tools and not any("tool_calls" in m or m["role"] == "tool" for m in messages):
            return messages, None
        syntax = self.syntax
        if self._text is None:
            return list(_as_templates_want(messages, self._name)), tools or None
        turns = list(_written_out(messages, syntax))
        if tools:
            example = syntax.write("NAME", {"ARGUMENT": "VALUE"})
            turns = _with_system(turns, self._text.render(tools=tools, call=example))
        return turns, None


def _with_system(turns: list[Message], text: str) -> list[Message]:
    """The turns with the text added at the end of the system turn."""
    if turns and turns[0]["role"] == "system":
        return [{**turns[0], "content": f"{turns[0]['content']}\n\n{text}"}, *turns[1:]]
    return [{"role": "system", "content": text}, *turns]


def _written_out(messages: Sequence[Message], syntax: Syntax) -> Iterator[Message]:
    """The messages with calls as text in the model's syntax; results in a row are one user turn."""
    results: list[str] = []
    for message in messages:
        if message["role"] == "tool":
            results.append(f"<tool_response>\n{message['content']}\n</tool_response>")
            continue
        if results:
            yield {"role": "user", "content": "\n".join(results)}
            results = []
        yield _call_turn(message, syntax) if "tool_calls" in message else message
    if results:
        yield {"role": "user", "content": "\n".join(results)}


def _call_turn(message: Message, syntax: Syntax) -> Message:
    functions = [call["function"] for call in message["tool_calls"]]
    calls = [syntax.write(each["name"], each["arguments"]) for each in functions]
    text = "\n".join(filter(None, [message["content"], *calls]))
    return {"role": message["role"], "content": text}


def _as_templates_want(messages: Sequence[Message], syntax: str) -> Iterator[Message]:
    """Mistral's templates need ids of nine letters and digits, Llama's one call in a message."""
    results = {m["tool_call_id"]: m for m in messages if m["role"] == "tool"}
    split = syntax == "llama3_json"
    moved: set[str] = set()
    for message in messages:
        calls = message.get("tool_calls", [])
        if split and len(calls) > 1:
            for number, call in enumerate(calls):
                text = "" if number else message["content"]
                yield {**message, "content": text, "tool_calls": [call]}
                if call["id"] in results:
                    moved.add(call["id"])
                    yield results[call["id"]]
        elif message.get("tool_call_id") not in moved:
            yield _with_short_ids(message) if syntax == "mistral" else message


def _with_short_ids(message: Message) -> Message:
    changed = dict(message)
    if "tool_calls" in message:
        changed["tool_calls"] = [
            {**call, "id": _short_id(call["id"])} for call in message["tool_calls"]
        ]
    if "tool_call_id" in message:
        changed["tool_call_id"] = _short_id(message["tool_call_id"])
    return changed


def _short_id(name: str) -> str:
    """An id that a call and its result share."""
    if _SHORT_ID.fullmatch(name):
        return name
    return hashlib.blake2b(name.encode()).hexdigest()[:9]
