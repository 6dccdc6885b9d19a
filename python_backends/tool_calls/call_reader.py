"""One call, `{"name": "…", "arguments": {…}}`, as a model writes it, character by character."""

import json
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from python_backends.tool_calls.json_scanner import JsonScanner, State

ARGUMENTS = ("arguments", "parameters")


class Progress(Enum):
    OPEN = auto()
    """More has to come."""
    DONE = auto()
    """The call ends with this character."""
    BROKEN = auto()
    """This character can't belong to a call."""


@dataclass(slots=True)
class Piece:
    """New text of a call's `arguments`; its first piece has the `name`."""

    call: int
    name: str = ""
    arguments: str = ""


class CallReader:
    """Returns arguments as they come, once the name is known and they have begun as an object.

    Keys come in any order, and other keys are ignored. Arguments may be an object written as a
    string, null, or missing.
    """

    def __init__(self) -> None:
        self.raw = ""
        """The text so far, as long as no part of it was returned."""
        self.has_begun = False
        self.is_whole = False
        """Whether name and arguments are complete."""
        self._scanner = JsonScanner()
        self._key = ""
        """The latest key of the call itself."""
        self._string = ""
        """The latest string that is a key or value of the call itself."""
        self._name: str | None = None
        self._arguments = ""
        """The arguments that are not returned yet."""
        self._is_in_arguments = self._has_arguments = False

    @property
    def name(self) -> str:
        """The name, once it is complete and until a piece has it."""
        return self._name or ""

    def take(self, character: str) -> Progress:
        before, depth = self._scanner.state, self._scanner.depth
        if not self._scanner.take(character):
            return Progress.BROKEN
        if self._is_in_arguments:
            self._arguments += _escaped(character) if before is State.STRING else character
            self._is_in_arguments = self._scanner.depth > 1
        elif depth == 1 and not self._take_own(character, before):
            return Progress.BROKEN
        if self._scanner.is_done and not self._complete():
            return Progress.BROKEN
        self._look()
        self.raw = "" if self.has_begun else self.raw + character
        return Progress.DONE if self._scanner.is_done else Progress.OPEN

    def give(self, call: int) -> Piece | None:
        """The new part of the call; None where there is none yet."""
        if not self.has_begun or not (self._name or self._arguments):
            return None
        piece = Piece(call, self._name or "", self._arguments)
        self._name, self._arguments = "", ""
        return piece

    def _take_own(self, character: str, before: State) -> bool:
        """Take a character of the call itself; False if it can't belong to a call."""
        after = self._scanner.state
        if before in (State.STRING, State.ESCAPE, State.HEX):
            self._string += character
            if after is State.COLON:
                self._key = _text(self._string)
            elif after is State.AFTER_VALUE:
                return self._end_string(_text(self._string))
        elif after is State.STRING:
            self._string = character
        elif before is State.VALUE and self._key in ARGUMENTS and not self._has_arguments:
            return self._begin_arguments(character, after)
        return True

    def _begin_arguments(self, character: str, after: State) -> bool:
        """Take the beginning of the arguments: an object, null, or a blank before them."""
        if character == "{":
            self._is_in_arguments = self._has_arguments = True
            self._arguments = character
        return after in (State.VALUE, State.FIRST_KEY) or character == "n"

    def _end_string(self, text: str) -> bool:
        if self._key == "name" and self._name is None:
            self._name = text
        elif self._key in ARGUMENTS and not self._has_arguments:
            self._has_arguments, self._arguments = True, text
            return is_object(text)
        return True

    def _complete(self) -> bool:
        """Whether the object, which has ended, is a call."""
        if not self._has_arguments:
            self._has_arguments, self._arguments = True, "{}"
        return self._name is not None and (self.has_begun or bool(self._name))

    def _look(self) -> None:
        """Find out whether a part can be returned. After `{` alone the rest may be no JSON."""
        is_sure = self._has_arguments and self._scanner.state is not State.FIRST_KEY
        self.has_begun = self.has_begun or bool(self._name and is_sure)
        self.is_whole = self.has_begun and not self._is_in_arguments


def is_object(text: str) -> bool:
    """Whether the text is a JSON object."""
    try:
        return isinstance(_loaded(text), dict)
    except (ValueError, RecursionError):
        return False


def _loaded(text: str) -> Any:
    return json.loads(text, strict=False)


def _text(string: str) -> str:
    return str(_loaded(string))


def _escaped(character: str) -> str:
    """A control character as JSON writes it."""
    return json.dumps(character)[1:-1] if character < " " else character
