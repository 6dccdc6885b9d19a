"""The answer of a model that may call tools."""

import json
from collections.abc import Mapping, Sequence

from python_backends.generation.answer import PlainAnswer
from python_backends.tensors import Outputs
from python_backends.tool_calls.call_parser import CallParser
from python_backends.tool_calls.call_reader import Piece
from python_backends.tool_calls.definitions import Tool
from python_backends.tool_calls.syntax import BARE, Syntax

TOOL_CALLS = "tool_calls"
"""`finish_reason` of an answer that calls tools, and the output with the calls."""


class CallingAnswer(PlainAnswer):
    """Text outside of calls is sent at once, calls piece by piece."""

    is_checked = True

    def __init__(
        self, syntax: Syntax, special_tokens: Mapping[int, str], is_parallel: bool
    ) -> None:
        """`special_tokens` are texts by id: those that the syntax uses decode to no text, so `mark`
        returns theirs."""
        self._parser = CallParser(syntax, is_parallel)
        markers = (syntax.begin, syntax.end)
        self._marks = {i: text for i, text in special_tokens.items() if text in markers}

    @property
    def has_pieces(self) -> bool:
        return self._parser.has_pieces

    def mark(self, token_id: int) -> str:
        return self._marks.get(token_id, "")

    def push(self, text: str) -> str:
        shown = self._parser.push(text)
        if self._parser.is_over:
            self.reason = TOOL_CALLS
        return shown

    def flush(self) -> str:
        return self._parser.flush()

    def finish_reason(self, reason: str) -> str:
        """An answer that was cut in the middle of a call ends with length."""
        return TOOL_CALLS if reason == "stop" and self._parser.num_calls else reason

    def take_pieces(self) -> Outputs:
        pieces = self._parser.take_pieces()
        return {TOOL_CALLS: [_json(piece) for piece in pieces]} if pieces else {}


class ForcedAnswer(CallingAnswer):
    """A call that a grammar forces: an answer that is cut is the beginning of a call, not a text.

    Such a call has the name of the only function, or the name that the model has written.
    """

    def __init__(self, tools: Sequence[Tool]) -> None:
        super().__init__(BARE, {}, is_parallel=False)
        self._only_name = tools[0]["function"]["name"] if len(tools) == 1 else ""

    def flush(self) -> str:
        self._parser.begin_named(self._only_name)
        text = self._parser.flush()
        return "" if text.lstrip().startswith("{") else text


def _json(piece: Piece) -> str:
    name = {"name": piece.name} if piece.name else {}
    return json.dumps({"index": piece.call, **name, "arguments": piece.arguments})
