"""Token ids to text as they come: no broken characters, no text behind a stop word.

How ids are grouped into chunks never changes the text.
"""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character: more ids than this can't all belong to one."""


class IncrementalDetokenizer:
    """Decodes a growing list of ids so that the pieces join up to the decoded whole.

    Decoding a token alone is wrong (leading spaces, bytes of one character in several tokens), so
    each step decodes a window that starts at the last clean cut, and gives what it adds. `decode`
    turns ids into text and is the tokenizer's own.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._prefix: list[int] = []
        """The ids given last: context for decoding the next ones."""
        self._waiting: list[int] = []
        """Ids whose text is not certain yet."""

    def push(self, token_ids: Sequence[int]) -> str:
        """The text that becomes certain with these ids; empty inside an unfinished character."""
        if not token_ids:
            return ""
        text = self._added([*self._waiting, *token_ids])
        if REPLACEMENT not in text:
            return self._give([*self._waiting, *token_ids], text)
        # Unfinished or broken characters: where they end must not depend on the grouping.
        return "".join(self._push_one(token_id) for token_id in token_ids)

    def flush(self) -> str:
        """What is left at the end, unfinished characters as U+FFFD."""
        return self._give(self._waiting, self._added(self._waiting)) if self._waiting else ""

    def _push_one(self, token_id: int) -> str:
        self._waiting.append(token_id)
        text = self._added(self._waiting)
        if text.endswith(REPLACEMENT) and len(self._waiting) < _LONGEST_CHARACTER:
            return ""
        return self._give(self._waiting, text)

    def _added(self, token_ids: Sequence[int]) -> str:
        """What these ids add to the text of the prefix."""
        return self._decode([*self._prefix, *token_ids])[len(self._decode(self._prefix)) :]

    def _give(self, token_ids: list[int], text: str) -> str:
        self._prefix, self._waiting = token_ids, []
        return text


class StopWords:
    """Cuts a text before the first stop word to be completed, however the text is cut up.

    Text that may still turn into a stop word is held back.
    """

    def __init__(self, words: Sequence[str]) -> None:
        self._words = tuple(words)
        self._held = ""
        self.found = False

    def __bool__(self) -> bool:
        return bool(self._words)

    def push(self, text: str) -> str:
        """The part of the text so far that is safe to show; nothing once `found`."""
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
