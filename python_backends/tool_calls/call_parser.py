"""An answer as it grows: its text, and pieces of the calls in it."""

from collections.abc import Callable
from enum import Enum, auto

from python_backends.tool_calls.call_reader import CallReader, Piece, Progress
from python_backends.tool_calls.syntax import Syntax


class _Place(Enum):
    TEXT = auto()
    BEFORE_CALL = auto()
    """After `begin`."""
    CALL = auto()
    BROKEN_CALL = auto()
    """Its arguments are no longer JSON, and a part of them was returned."""
    AFTER_CALL = auto()


class CallParser:
    """Returns text as soon as it can't begin a call; the result does not depend on how the answer
    is split.

    A beginning that turns out to be no call is text. Once a part of a call's arguments was
    returned, all text up to the call's end belongs to them, even if it is no JSON. Blanks around
    calls are dropped.
    """

    def __init__(self, syntax: Syntax, is_parallel: bool = True) -> None:
        """The answer ends with its first call unless `is_parallel`."""
        self.num_calls = 0
        """Calls whose arguments have begun."""
        self.is_over = False
        """Whether the rest is ignored: the one call that is allowed is complete."""
        self._syntax, self._is_parallel = syntax, is_parallel
        self._place = _Place.TEXT
        self._held = ""
        """Text that may belong to a marker, or come before one."""
        self._prefix = ""
        """The text before a call that was not returned yet."""
        self._reader = CallReader()
        self._text: list[str] = []
        self._has_text = False
        self._is_behind_call = False
        """Whether only blanks, or half a marker, came since the latest call."""
        self._pieces: list[Piece] = []
        self._steps: dict[_Place, Callable[[str], str]] = {
            _Place.TEXT: self._in_text,
            _Place.BEFORE_CALL: self._before_call,
            _Place.CALL: self._in_call,
            _Place.BROKEN_CALL: self._in_broken_call,
            _Place.AFTER_CALL: self._after_call,
        }

    def push(self, text: str) -> str:
        """Take more of the answer; returns the new text outside of calls."""
        for character in text:
            self._take(character)
        return self._taken_text()

    def begin_named(self, name: str) -> None:
        """Begin the call that is being written, without arguments, by the name that was read or
        else by `name`. If no call is being written, or both names are empty, nothing happens."""
        if self._place is not _Place.CALL or self._reader.has_begun:
            return
        if known := self._reader.name or name:
            self.num_calls += 1
            self._add(Piece(self.num_calls - 1, known))

    def flush(self) -> str:
        """The rest of the text, at the answer's end."""
        match self._place:
            case _Place.TEXT if not self._is_behind_call:
                self._say(self._held)
            case _Place.BEFORE_CALL:
                self._say(self._prefix)
            case _Place.CALL if not self._reader.has_begun:
                self._say(self._prefix + self._reader.raw)
            case _Place.BROKEN_CALL:
                self._add(Piece(self.num_calls - 1, arguments=self._held))
        self._held, self._place = "", _Place.TEXT
        return self._taken_text()

    @property
    def has_pieces(self) -> bool:
        """Whether there are new pieces of calls."""
        return bool(self._pieces)

    def take_pieces(self) -> list[Piece]:
        """New pieces, one for each call."""
        pieces, self._pieces = self._pieces, []
        return pieces

    def _take(self, character: str) -> None:
        """Process a character. Each step returns the characters that the next one reads again."""
        left = character
        while left and not self.is_over:
            left = self._steps[self._place](left[0]) + left[1:]

    def _in_text(self, character: str) -> str:
        self._held += character
        begin, is_first = self._syntax.begin, not (self._has_text or self.num_calls)
        for start in range(len(self._held) + 1):
            candidate = self._held[start:].lstrip()
            if candidate == begin != "":
                return self._begin(start, _Place.BEFORE_CALL)
            if candidate == "{" and self._syntax.is_bare and is_first and not start:
                return self._begin(start, _Place.BEFORE_CALL, again="{")
            if begin.startswith(candidate):
                self._say(self._held[:start])
                self._held = self._held[start:]
                break
        return ""

    def _begin(self, start: int, place: _Place, again: str = "") -> str:
        """Begin a call with the held text from `start` on, without the part to read `again`."""
        self._say(self._held[:start])
        self._prefix = self._held[start:].removesuffix(again)
        self._held, self._place = "", place
        return again

    def _before_call(self, character: str) -> str:
        if character == "{":
            self._place, self._reader = _Place.CALL, CallReader()
            return self._in_call(character)
        if character.isspace() or character in self._syntax.around:
            self._prefix += character
            return ""
        return self._refuse(self._prefix, character)

    def _in_call(self, character: str) -> str:
        had_begun = self._reader.has_begun
        progress = self._reader.take(character)
        if self._reader.has_begun and not had_begun:
            self.num_calls += 1
            self._is_behind_call = True
        if piece := self._reader.give(self.num_calls - 1):
            self._add(piece)
        if progress is Progress.OPEN:
            return ""
        if self._reader.is_whole:
            self._place, self._prefix = _Place.AFTER_CALL, ""
            self.is_over = not self._is_parallel
            return "" if progress is Progress.DONE else character
        if self._reader.has_begun:
            self._place = _Place.BROKEN_CALL
            return character
        return self._refuse(self._prefix + self._reader.raw, character)

    def _refuse(self, text: str, character: str) -> str:
        """This is no call: `text` becomes text of the answer, and `character` is read again."""
        self._say(text)
        self._place, self._prefix = _Place.TEXT, ""
        return character

    def _in_broken_call(self, character: str) -> str:
        self._held += character
        end = self._syntax.end
        if self._held == end:
            self._held, self._place = "", _Place.TEXT
            self.is_over = not self._is_parallel
            return ""
        start = next(i for i in range(len(self._held) + 1) if end.startswith(self._held[i:]))
        self._add(Piece(self.num_calls - 1, arguments=self._held[:start]))
        self._held = self._held[start:]
        return ""

    def _after_call(self, character: str) -> str:
        syntax, candidate = self._syntax, self._held + character
        if not self._held and (character.isspace() or character in syntax.around):
            self._prefix += character
        elif candidate == syntax.end != "":
            self._held, self._place = "", _Place.TEXT
        elif candidate == "{" or candidate == syntax.begin != "":
            self._held, self._place = "", _Place.BEFORE_CALL
            return "{" if candidate == "{" else ""
        elif syntax.end.startswith(candidate) or syntax.begin.startswith(candidate):
            self._held = candidate
        else:
            self._held, self._place = "", _Place.TEXT
            return candidate
        return ""

    def _say(self, text: str) -> None:
        if text:
            self._has_text, self._is_behind_call = True, False
        self._text.append(text)

    def _add(self, piece: Piece) -> None:
        if self._pieces and self._pieces[-1].call == piece.call:
            self._pieces[-1].arguments += piece.arguments
        else:
            self._pieces.append(piece)

    def _taken_text(self) -> str:
        text = "".join(self._text)
        self._text.clear()
        return text
