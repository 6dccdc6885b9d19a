"""Redacts a text, whole or as a stream, with the same result.

A text is cut into runs that no pattern crosses: at every character outside ASCII and the Latin
letters, at line breaks, and at spaces, unless the space may be inside a card, an IBAN, a phone
number, or before a labelled secret. A stream is held back by its last run, mostly one word.
"""

import re
from collections import Counter

from gateway.guards.patterns import PATTERNS

RUN_CHARACTERS = 1024
"""Longest run, in characters; a longer one is cut: no pattern matches so much."""

_LETTER = "[!-~\u00c0-\u024f]"
_JOINING_SPACE = (
    r"(?<=[:=])\ (?=\S)"
    r"|(?<=[0-9)])\ (?=[0-9A-Z(+./-])"  # DE89 3704 …, (030) 123, GB29 NWBK …
    r"|(?<=[A-Z])\ (?=[0-9])"  # NWBK 6016 …
)
_RUN = re.compile(rf"\ ?(?:{_LETTER}|{_JOINING_SPACE}){{1,{RUN_CHARACTERS}}}|.", re.DOTALL)
_MAY_HAVE_SHAPE = re.compile(r"[0-9@:=_-]")


class Redactor:
    """Redacts one text that comes in pieces; `counts` gets the number of findings by pattern."""

    def __init__(self, counts: Counter[str] | None = None) -> None:
        self.counts = Counter[str]() if counts is None else counts
        self._held = ""

    def push(self, piece: str) -> str:
        """The text that can be shown after this piece."""
        runs = _RUN.findall(self._held + piece)
        held = _unfinished(runs)
        shown = runs[: len(runs) - held]
        self._held = "".join(runs[len(runs) - held :])
        return "".join(map(self._redact, shown))

    def flush(self) -> str:
        """The rest, at the end of the text."""
        held, self._held = self._held, ""
        return self._redact(held)

    def _redact(self, run: str) -> str:
        if not _MAY_HAVE_SHAPE.search(run):
            return run
        for pattern in PATTERNS:
            run, count = pattern.redact(run)
            if count:
                self.counts[pattern.name] += count
        return run


def redact(text: str, counts: Counter[str] | None = None) -> str:
    """The text with `[EMAIL]`, `[CARD]` and so on in place of findings, which are counted."""
    redactor = Redactor(counts)
    return redactor.push(text) + redactor.flush()


def _unfinished(runs: list[str]) -> int:
    """How many of the last runs the next piece may change: a run, or a run and the space after it,
    which may join it to a number that follows."""
    if not runs or not re.match(rf"\ |{_LETTER}", runs[-1]):
        return 0
    return min(2, len(runs)) if runs[-1] == " " else 1
