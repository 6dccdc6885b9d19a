"""Token ids to text as they come: no broken characters, no text behind a stop word.

How ids are grouped into chunks never changes a text that is valid; of bytes that are none, only the
number of U+FFFD that stand for them can differ.
"""

from collections.abc import Callable, Sequence

REPLACEMENT = "\ufffd"
_LONGEST_CHARACTER = 4
"""Bytes of the longest UTF-8 character: more ids than this can't all belong to one."""
_PADDING = 16
"""Models pad their vocabulary, by less than a sixteenth; what is drawn of that is no text."""


class IncrementalDetokenizer:
    """Decodes a growing list of ids so that the pieces join up to the decoded whole.

    Decoding a token alone is wrong (leading spaces, bytes of one character in several tokens), so
    each step decodes a window that starts before the last clean cut, and gives what it adds.
    `decode` turns ids into text and is the tokenizer's own; it drops ids that it doesn't know.
    Those far above `vocabulary` raise ValueError: an answer with holes is no answer.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str], vocabulary: int) -> None:
        self._decode = decode
        self._end_id = vocabulary + vocabulary // _PADDING
        self._window: list[int] = []
        self._cut = 0
        """Ids at the start of the window that end in a clean cut: context for the next ones."""
        self._given = 0
        """Characters of the window's text that were given already."""
        self._waiting = 0
        """Ids of the unfinished character at the end."""

    def push(self, token_ids: Sequence[int]) -> str:
        """The text that becomes certain with these ids; empty inside an unfinished character."""
        if not token_ids:
            return ""
        if max(token_ids) >= self._end_id:
            raise ValueError(
                f"token id {max(token_ids)}; the vocabulary ends before {self._end_id}"
            )
        text = self._decode([*self._window, *token_ids])
        if REPLACEMENT not in text[self._given :]:
            self._window += token_ids
            return self._give(text, is_clean=True)
        # Unfinished or broken characters: where they end must not depend on the grouping.
        return "".join(self._push_one(token_id) for token_id in token_ids)

    def flush(self) -> str:
        """What is left at the end, unfinished characters as U+FFFD."""
        return self._give(self._decode(self._window)) if self._window else ""

    def _push_one(self, token_id: int) -> str:
        self._window.append(token_id)
        self._waiting += 1
        text = self._decode(self._window)
        if not text.endswith(REPLACEMENT):
            return self._give(text, is_clean=True)
        if self._waiting < _LONGEST_CHARACTER:
            return self._give(text.rstrip(REPLACEMENT))
        return self._give(text[:-1])  # these bytes are broken; the last may begin a character

    def _give(self, text: str, is_clean: bool = False) -> str:
        new = text[self._given :]
        if new or is_clean:
            self._given, self._waiting = max(self._given, len(text)), 0
        if new and is_clean:
            self._window = self._window[self._cut :]
            self._cut, self._given = len(self._window), len(self._decode(self._window))
        return new


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
