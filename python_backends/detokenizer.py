"""Token ids to text, one id at a time: no broken characters, no text behind a stop word.

Both classes see single ids or single characters, never the groups in which they arrive, so how
tokens are joined into chunks can't change the text.
"""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character: more ids than this can't all belong to one."""


class IncrementalDetokenizer:
    """Decodes a growing list of ids so that the pieces join up to the decoded whole.

    Decoding a token alone is wrong (leading spaces, bytes of one character in several tokens), so
    each step decodes a short window that starts at the last clean cut, and gives what it adds.
    `decode` turns ids into text and is the tokenizer's own.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._window: list[int] = []
        self._given = 0
        """Ids at the start of the window whose text was given already."""

    def push(self, token_id: int) -> str:
        """The text that becomes certain with this id; empty inside an unfinished character."""
        self._window.append(token_id)
        text = self._decode(self._window)
        waiting = len(self._window) - self._given
        if text.endswith(REPLACEMENT) and waiting < _LONGEST_CHARACTER:
            return ""
        return self._give(text)

    def flush(self) -> str:
        """What is left at the end, unfinished characters as U+FFFD."""
        return self._give(self._decode(self._window)) if self._window else ""

    def _give(self, text: str) -> str:
        new = text[len(self._decode(self._window[: self._given])) :]
        self._window = self._window[self._given :]
        self._given = len(self._window)
        return new


class StopWords:
    """Cuts a text before the first stop word to be completed, however the text is cut up.

    Text that may still turn into a stop word is held back.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.found = False

    def push(self, text: str) -> str:
        """The part of the text so far that is safe to show."""
        if not self._words or self.found:
            return "" if self.found else text
        self._held += text
        ends = [(start + len(w), start) for w in self._words if (start := self._held.find(w)) >= 0]
        if ends:
            self.found = True
            shown, self._held = self._held[: min(ends)[1]], ""
            return shown
        keep = max(self._overlap(word) for word in self._words)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return shown

    def flush(self) -> str:
        """What was held back and never became a stop word."""
        shown, self._held = self._held, ""
        return shown

    def _overlap(self, word: str) -> int:
        """Length of the longest end of the held text that starts the word."""
        longest = min(len(word) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if word.startswith(self._held[-n:])), 0)
