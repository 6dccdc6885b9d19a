"""Decodes token ids as they arrive: no broken characters, no text after a stop word.

The text does not depend on how the ids are grouped. The one exception is invalid UTF-8: the number
of U+FFFD (replacement characters) for its bytes can differ.
"""

import re
from collections.abc import Callable, Mapping, Sequence

REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character, so the most ids that can belong to one character."""
_PADDING_DIVISOR = 16
"""Models pad their vocabulary by less than a sixteenth; ids of the padding decode to no text."""


class IncrementalDetokenizer:
    """Decodes a growing list of ids; the joined results equal the decoded whole.

    A token can't be decoded alone: leading spaces depend on the token before, and one character
    may span several tokens. So each step decodes a window of recent ids that starts before the
    last clean cut (a place where a character ends), and returns what the new ids add.

    `decode` is the tokenizer's; it drops unknown ids. `vocabulary` is the number of
    ids. Ids beyond the vocabulary and its padding raise ValueError: they come from a broken engine.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], vocabulary: int) -> None:
        self._decode = decode
        self._end_id = vocabulary + vocabulary // _PADDING_DIVISOR
        self._window: list[int] = []
        self._cut = 0
        """Number of ids in the window before the last clean cut: context for the ids after it."""
        self._returned = 0
        """Number of characters of the window's text that were returned already."""
        self._pending = 0
        """Number of ids of the unfinished character at the end."""

    def push(self, token_ids: Sequence[int]) -> str:
        """The new text; empty while a character is unfinished."""
        if not token_ids:
            return ""
        if max(token_ids) >= self._end_id:
            raise ValueError(
                f"token id {max(token_ids)}; the vocabulary ends before {self._end_id}"
            )
        text = self._decode([*self._window, *token_ids])
        if REPLACEMENT not in text[self._returned :]:
            self._window += token_ids
            return self._take(text, is_clean=True)
        # Unfinished or invalid characters: one by one, so that the grouping makes no difference.
        return "".join(self._push_one(token_id) for token_id in token_ids)

    def flush(self) -> str:
        """The rest of the text, unfinished characters as U+FFFD."""
        return self._take(self._decode(self._window)) if self._window else ""

    def _push_one(self, token_id: int) -> str:
        self._window.append(token_id)
        self._pending += 1
        text = self._decode(self._window)
        if not text.endswith(REPLACEMENT):
            return self._take(text, is_clean=True)
        if self._pending < _LONGEST_CHARACTER:
            return self._take(text.rstrip(REPLACEMENT))
        return self._take(text[:-1])  # invalid bytes; the last may begin a character

    def _take(self, text: str, is_clean: bool = False) -> str:
        """The part of the window's text that is new; a clean cut moves the window."""
        new = text[self._returned :]
        if new or is_clean:
            self._returned, self._pending = max(self._returned, len(text)), 0
        if new and is_clean:
            self._window = self._window[self._cut :]
            self._cut, self._returned = len(self._window), len(self._decode(self._window))
        return new


class StopWords:
    """Ends a text before the first complete stop word, however the text is grouped.

    Text that may be the beginning of a stop word is held back. Special tokens (their texts by id)
    decode to no text. Where a word names one, `mark` stands for it in the pushed text: half of a
    surrogate pair, which no decoded text can hold. `push` never returns marks.
    """

    def __init__(
        self, words: Sequence[str], special_tokens: Mapping[int, str] | None = None
    ) -> None:
        named = {i: t for i, t in (special_tokens or {}).items() if any(t in w for w in words)}
        self._marks = dict(zip(named, map(chr, range(0xD800, 0xE000)), strict=False))
        self._words = tuple(dict.fromkeys([*words, *self._marked(words, named)]))
        self._held = ""
        self.found = False

    def __bool__(self) -> bool:
        return bool(self._words)

    def _marked(self, words: Sequence[str], named: Mapping[int, str]) -> list[str]:
        """The words with marks in place of special tokens."""
        marks = {text: self._marks[i] for i, text in named.items() if i in self._marks}
        longest_first = sorted(marks, key=len, reverse=True)
        pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        return [pattern.sub(lambda found: marks[found[0]], word) for word in words]

    def mark(self, token_id: int) -> str:
        """What to push for a special token, after the text of the ids before it."""
        return self._marks.get(token_id, "")

    def push(self, text: str) -> str:
        """The text that can't be part of a stop word; nothing once one was `found`."""
        if not self._words or self.found:
            return "" if self.found else text
        return self._without_marks(self._hold(text))

    def flush(self) -> str:
        safe, self._held = self._held, ""
        return self._without_marks(safe)

    def _without_marks(self, text: str) -> str:
        return "".join(c for c in text if c not in self._marks.values()) if self._marks else text

    def _hold(self, text: str) -> str:
        """Add the text to the held one; returns the part that can be sent, marks included."""
        self._held += text
        ends = [(start + len(w), start) for w in self._words if (start := self._held.find(w)) >= 0]
        if ends:
            self.found = True
            safe, self._held = self._held[: min(ends)[1]], ""
            return safe
        keep = max(self._overlap(word) for word in self._words)
        cut = len(self._held) - keep
        safe, self._held = self._held[:cut], self._held[cut:]
        return safe

    def _overlap(self, word: str) -> int:
        """Length of the longest suffix of the held text that is a prefix of the word."""
        longest = min(len(word) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if word.startswith(self._held[-n:])), 0)
