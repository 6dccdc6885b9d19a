"""Finds out how a chat template writes tools and calls, by a trial when an engine is built."""

from python_backends.errors import RequestError
from python_backends.generation.chat_template import ChatTemplate
from python_backends.generation.messages import Message
from python_backends.tool_calls.call_parser import CallParser
from python_backends.tool_calls.definitions import Tool
from python_backends.tool_calls.syntax import SYNTAXES, Syntax

_NAME, _DESCRIPTION = "find_port", "Trial of a description."
_QUESTION, _RESULT = "Trial of a question.", "Trial of a result."
_TOOL: Tool = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": _DESCRIPTION,
        "parameters": {
            "type": "object",
            "properties": {"server": {"type": "string", "description": "Trial of a server."}},
            "required": ["server"],
        },
    },
}
_CALL = {
    "id": "trial1234",
    "type": "function",
    "function": {"name": _NAME, "arguments": {"server": "vebra"}},
}
_CONVERSATION: list[Message] = [
    {"role": "user", "content": _QUESTION},
    {"role": "assistant", "content": "", "tool_calls": [_CALL]},
    {"role": "tool", "name": _NAME, "tool_call_id": _CALL["id"], "content": _RESULT},
]


def syntax_of(template: ChatTemplate) -> str:
    """The name of the syntax in which the template writes calls.

    Empty where it leaves out tools, calls or results, or writes calls in an unknown syntax.
    """
    try:
        # The templates of Llama and Mistral write the tools beside the first or last question.
        asked = template.render(_CONVERSATION[:1], [_TOOL])
        called = template.render(_CONVERSATION, [_TOOL])
    except RequestError:
        return ""
    if not all(text in asked for text in (_NAME, _DESCRIPTION, _QUESTION)):
        return ""
    tail = called.rpartition(_QUESTION)[2]
    if _RESULT not in tail:
        return ""
    return next((name for name, syntax in SYNTAXES.items() if _reads(syntax, tail)), "")


def _reads(syntax: Syntax, text: str) -> bool:
    """Whether this syntax reads the trial's call in the text."""
    is_marked = syntax.begin in text
    start = text.find(syntax.begin if is_marked else "{")
    if start < 0 or f'"{syntax.arguments}"' not in text or not (is_marked or syntax.is_bare):
        return False
    parser = CallParser(syntax)
    parser.push(text[start:])
    parser.flush()
    found = [(piece.name, piece.arguments.replace(" ", "")) for piece in parser.take_pieces()]
    return found[:1] == [(_NAME, '{"server":"vebra"}')]
