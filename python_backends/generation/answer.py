"""The text of an answer over sources: held, cut, cited or replaced, as the model's policy says."""

import re
from collections.abc import Sequence

import numpy as np

from ensembles.manifest import AnswerPolicy
from python_backends.generation.grounding import (
    Evidence,
    Support,
    first_sentence_end,
    written_sentences,
)
from python_backends.sentences import one_line
from python_backends.tensors import Array, Outputs

UNGROUNDED = "ungrounded"
"""`finish_reason` of an answer that the policy has refused."""

_CITATION = re.compile(r"\[(\d{1,4})\]")


class PlainAnswer:
    """A text without sources: nothing is held, cut or cited."""

    reason = ""
    """The finish reason, once the answer is over before the model ends or even begins it."""
    is_checked = False
    """Whether `push` may end the answer."""

    def push(self, text: str) -> str:
        """The text that can be sent."""
        return text

    def flush(self) -> str:
        """The rest of the text, when the model has ended."""
        return ""

    def outputs(self) -> Outputs:
        """What the last response has beside the text."""
        return {}


class GroundedAnswer(PlainAnswer):
    """An answer over sources; where `is_checked`, the policy may hold and replace it."""

    def __init__(
        self,
        policy: AnswerPolicy,
        sources: Sequence[str],
        question: str,
        similarity: float,
        is_checked: bool,
    ) -> None:
        self._policy, self._sources = policy, sources
        self._evidence = Evidence(sources, question)
        self.is_checked = self._holds = is_checked and policy.checks_first_sentence
        self._text = ""
        """What the model wrote, up to where it was cut, or the quote instead of it."""
        self._replacement = ""
        """What is sent instead, not sent yet."""
        is_unlike = policy.ungrounded != "answer" and similarity < policy.min_similarity
        if is_checked and is_unlike:
            self._refuse()

    def push(self, text: str) -> str:
        if self.reason:
            return ""
        self._text += text
        if not self._holds:
            return text
        end = first_sentence_end(self._text)
        return "" if end is None else self._decide(end)

    def flush(self) -> str:
        text = self._decide(len(self._text)) if self._holds else ""
        text, self._replacement = text + self._replacement, ""
        return text

    def outputs(self) -> Outputs:
        """The tensors of `ensembles.contracts.EVIDENCE`."""
        found = [
            (s, self._evidence.support(s)) for s in written_sentences(_CITATION.sub("", self._text))
        ]
        supported = [(s, support) for s, support in found if support]
        shares = [support.share for _, support in supported]
        quoted = [] if self.reason == UNGROUNDED else self._quoted(supported)
        return {
            "citations": self._citations([support.source for _, support in quoted]),
            "grounded": np.array([np.mean(shares) if shares else 0.0], dtype=np.float32),
            "statements": [statement for statement, _ in quoted],
            "quotes": [support.quote for _, support in quoted],
            "quote_source": np.array([support.source for _, support in quoted], dtype=np.int32),
        }

    def _decide(self, end: int) -> str:
        """The first sentence is `_text` up to `end`."""
        self._holds = False
        sentence, rest = self._text[:end], self._text[end:]
        if self._policy.first_sentence_only:
            self._text, rest = sentence, ""
        if not self._is_supported(sentence):
            self._replace()
            return ""
        if self._policy.first_sentence_only:
            self.reason = "stop"
        return sentence + rest

    def _replace(self) -> None:
        if self._policy.ungrounded != "quote" or not self._sources:
            self._refuse()
            return
        quote = one_line(self._evidence.closest_quote(1, self._policy.quote_sentences))
        self._text, self._replacement = f"{quote} [1]", f"“{quote}” [1]"
        self.reason = "stop"

    def _refuse(self) -> None:
        self._holds, self.reason = False, UNGROUNDED
        self._replacement = self._policy.refusal

    def _is_supported(self, sentence: str) -> bool:
        policy = self._policy
        if policy.ungrounded == "answer":
            return True
        support = self._evidence.support(_CITATION.sub("", sentence))
        if support is None or (support.is_echo and policy.ungrounded == "quote"):
            return False
        return support.share >= policy.min_grounded

    def _quoted(self, supported: list[tuple[str, Support]]) -> list[tuple[str, Support]]:
        least = self._policy.min_grounded
        return [
            (s, support) for s, support in supported if support.share > 0 <= support.share - least
        ]

    def _citations(self, attributed: Sequence[int]) -> Array:
        """Numbers of sources in order, each once: the model's own `[n]`, or the attributed ones."""
        if self.reason == UNGROUNDED:
            numbers: list[int] = []
        elif self._policy.cite == "attribution":
            numbers = list(attributed)
        else:
            numbers = [int(number) for number in _CITATION.findall(self._text)]
        known = (number for number in numbers if 1 <= number <= len(self._sources))
        return np.array(list(dict.fromkeys(known)), dtype=np.int32)
