"""Whether a text that grows, character by character, can still become one JSON value."""

import re
from enum import Enum, auto

_BLANKS = " \t\r\n"
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_WORDS = ("true", "false", "null")
_ESCAPES = '"\\/bfnrt'
_HEX_DIGITS = "0123456789abcdefABCDEF"


class State(Enum):
    """What comes next."""

    VALUE = auto()
    FIRST_VALUE = auto()
    """A value, or the end of the list."""
    FIRST_KEY = auto()
    """A key, or the end of the object."""
    KEY = auto()
    COLON = auto()
    AFTER_VALUE = auto()
    STRING = auto()
    ESCAPE = auto()
    HEX = auto()
    WORD = auto()
    """The rest of a number, true, false or null."""


class JsonScanner:
    """Takes one character at a time. Raw control characters in strings are allowed: models write
    code with line breaks."""

    def __init__(self) -> None:
        self.state = State.VALUE
        self.is_done = False
        self._open: list[str] = []
        """Brackets that are not closed yet."""
        self._is_key = False
        self._word = ""
        self._hex_left = 0

    @property
    def depth(self) -> int:
        """How many lists and objects are open."""
        return len(self._open)

    def take(self, character: str) -> bool:
        """Whether the text with this character can still become JSON."""
        match self.state:
            case State.STRING:
                return self._in_string(character)
            case State.ESCAPE:
                return self._escaped(character)
            case State.HEX:
                return self._hex(character)
            case State.WORD if character not in f"{_BLANKS},]}}":
                self._word += character
                return any(word.startswith(self._word) for word in _WORDS) or _is_number_begin(
                    self._word
                )
            case State.WORD:
                is_whole = self._word in _WORDS or _NUMBER.fullmatch(self._word) is not None
                self.state = State.AFTER_VALUE
                return is_whole and self.take(character)
        return character in _BLANKS or self._structure(character)

    def _structure(self, character: str) -> bool:
        match self.state, character:
            case State.VALUE | State.FIRST_VALUE, _ if self._begins_value(character):
                return True
            case State.FIRST_KEY | State.KEY, '"':
                self.state, self._is_key = State.STRING, True
            case State.COLON, ":":
                self.state = State.VALUE
            case State.AFTER_VALUE, "," if self._open:
                self.state = State.KEY if self._open[-1] == "{" else State.VALUE
            case State.AFTER_VALUE | State.FIRST_KEY, "}" if self._open[-1:] == ["{"]:
                self._close()
            case State.AFTER_VALUE | State.FIRST_VALUE, "]" if self._open[-1:] == ["["]:
                self._close()
            case _:
                return False
        return True

    def _begins_value(self, character: str) -> bool:
        if character == '"':
            self.state, self._is_key = State.STRING, False
        elif character in "{[":
            self._open.append(character)
            self.state = State.FIRST_KEY if character == "{" else State.FIRST_VALUE
        elif character in "-0123456789tfn":
            self.state, self._word = State.WORD, character
        else:
            return False
        return True

    def _close(self) -> None:
        self._open.pop()
        self.state = State.AFTER_VALUE
        self.is_done = not self._open

    def _in_string(self, character: str) -> bool:
        if character == "\\":
            self.state = State.ESCAPE
        elif character == '"':
            self.state = State.COLON if self._is_key else State.AFTER_VALUE
        return True

    def _escaped(self, character: str) -> bool:
        self.state, self._hex_left = (State.HEX, 4) if character == "u" else (State.STRING, 0)
        return character == "u" or character in _ESCAPES

    def _hex(self, character: str) -> bool:
        self._hex_left -= 1
        if not self._hex_left:
            self.state = State.STRING
        return character in _HEX_DIGITS


def _is_number_begin(text: str) -> bool:
    """Whether digits after the text can make it a number."""
    return _NUMBER.fullmatch(text) is not None or _NUMBER.fullmatch(f"{text}0") is not None
