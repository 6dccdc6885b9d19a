"""The text of an answer over sources: held, cut, cited or replaced, as the model's policy says."""

import math
import re
from collections.abc import Sequence

import numpy as np

from ensembles.manifest import AnswerPolicy
from python_backends.generation.grounding import (
    Evidence,
    Quote,
    Support,
    first_sentence_end,
    written_sentences,
)
from python_backends.generation.words import copied_share
from python_backends.tensors import Array, Outputs

UNGROUNDED = "ungrounded"
"""`finish_reason` of an answer that the policy has refused."""

SEARCHED = 300
"""Number of searched passages for which a policy's `min_relevance` is given."""
FEW = 30
"""Fewer passages count as this many: a client may have chosen them out of more."""

_CITATION = re.compile(r"\[(\d{1,4})\]")


def least_relevance(policy: AnswerPolicy, num_searched: int | None) -> float | None:
    """The relevance that a source needs if it was found among `num_searched` passages.

    The best of many is more relevant by chance (docs/decisions/0107).
    """
    if policy.min_relevance is None or num_searched is None:
        return policy.min_relevance
    tenfolds = math.log10(max(FEW, num_searched) / SEARCHED)
    return policy.min_relevance + policy.relevance_per_tenfold * tenfolds


class PlainAnswer:
    """A text without sources: nothing is held, cut or cited."""

    reason = ""
    """The finish reason, once the answer is over before the model has ended or even begun."""
    is_checked = False
    """Whether `push` may end the answer."""

    @property
    def has_pieces(self) -> bool:
        """Whether there is more to send than text."""
        return False

    def mark(self, token_id: int) -> str:
        """The text of a special token that marks a call; empty for other tokens."""
        return ""

    def push(self, text: str) -> str:
        """The text that can be sent."""
        return text

    def flush(self) -> str:
        """The rest of the text, when the model has ended."""
        return ""

    def finish_reason(self, reason: str) -> str:
        """The answer's finish reason, given the `reason` why the model has ended."""
        return self.reason or reason

    def take_pieces(self) -> Outputs:
        """The outputs beside the text for the next response."""
        return {}

    def outputs(self) -> Outputs:
        """The outputs beside the text for the last response."""
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
        relevance: Sequence[float] | None = None,
        num_searched: int | None = None,
    ) -> None:
        """`similarity` is the highest of the sources, `relevance` that of each, if known.

        `num_searched` is how many passages the sources were chosen from, if known.
        """
        self._policy, self._sources = policy, sources
        self._least = least_relevance(policy, num_searched)
        self._evidence = Evidence(sources, question)
        self._question, self._relevance = question, relevance
        self.is_checked = self._holds = is_checked and policy.checks_first_sentence
        self._text = ""
        """What the model wrote, up to where it was cut."""
        self._replacement = ""
        """What is sent instead, not sent yet."""
        self._quoted_instead: list[Quote] = []
        if is_checked and policy.ungrounded != "answer" and self._is_unlike(similarity):
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
        supported = self._supported()
        shares = [support.share for _, support in supported]
        quoted = [] if self.reason == UNGROUNDED else self._quoted(supported)
        return {
            "citations": self._citations([support.source for _, support in quoted]),
            "grounded": np.array([np.mean(shares) if shares else 0.0], dtype=np.float32),
            "statements": [statement for statement, _ in quoted],
            "quotes": [support.quote for _, support in quoted],
            "quote_source": np.array([support.source for _, support in quoted], dtype=np.int32),
        }

    def _supported(self) -> list[tuple[str, Support]]:
        """The sentences of the answer that have words, each with what supports it."""
        if self._quoted_instead:
            return [each for quote in self._quoted_instead for each in quote.statements()]
        written = written_sentences(_CITATION.sub("", self._text))
        found = [(sentence, self._evidence.support(sentence)) for sentence in written]
        return [(sentence, support) for sentence, support in found if support]

    def _is_relevant(self, source: int, margin: float = 0.0) -> bool:
        """Whether the source, numbered from 1, has at least the needed relevance plus `margin`."""
        if self._least is None or self._relevance is None:
            return True
        if source > len(self._relevance):
            return False
        return self._relevance[source - 1] >= self._least + margin

    def _is_unlike(self, similarity: float) -> bool:
        """Whether the question is about something else than the best source."""
        if not self._is_relevant(1):
            return True
        missing = 1 - self._evidence.asked_share()
        fit = similarity - self._policy.missing_words_penalty * missing
        return fit < self._policy.min_similarity

    def _decide(self, end: int) -> str:
        """The text to send, now that the first sentence is complete: `_text` up to `end`."""
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
        margin, numbers = self._policy.second_quote_margin, range(2, len(self._sources) + 1)
        others = (number for number in numbers if self._is_relevant(number, margin))
        found = self._evidence.quotes(self._policy.quote_sentences, others)
        if self._policy.ungrounded != "quote" or not found:
            self._refuse()
            return
        self._quoted_instead = found
        self._replacement = "\n\n".join(f"“{each.laid_out}” [{each.source}]" for each in found)
        self.reason = "stop"

    def _refuse(self) -> None:
        self._holds, self.reason = False, UNGROUNDED
        self._replacement = self._policy.refusal

    def _is_supported(self, sentence: str) -> bool:
        policy = self._policy
        if policy.ungrounded == "answer":
            return True
        said = _CITATION.sub("", sentence)
        if policy.ungrounded == "quote":
            return self._is_copied(said)
        support = self._evidence.support(said)
        return support is not None and support.share >= policy.min_grounded

    def _is_copied(self, said: str) -> bool:
        """Whether the model's sentence says what the quote says, in the quote's words.

        Otherwise the quote is sent: it is a good answer already.
        """
        found = self._evidence.quotes(self._policy.quote_sentences + 1)
        quote = found[0].text if found else ""
        support = Evidence([quote], self._question).support(said)
        if support is None or support.is_echo or not support.is_to_the_point:
            return False
        return min(support.share, copied_share(said, quote)) >= self._policy.min_grounded

    def _quoted(self, supported: list[tuple[str, Support]]) -> list[tuple[str, Support]]:
        least = self._policy.min_grounded
        return [
            (s, support) for s, support in supported if support.share > 0 <= support.share - least
        ]

    def _citations(self, attributed: Sequence[int]) -> Array:
        """Numbers of sources in order, each once: the model's own `[n]`, or the attributed ones."""
        if self.reason == UNGROUNDED:
            numbers: list[int] = []
        elif self._quoted_instead or self._policy.cite == "attribution":
            numbers = list(attributed)
        else:
            numbers = [int(number) for number in _CITATION.findall(self._text)]
        known = (number for number in numbers if 1 <= number <= len(self._sources))
        return np.array(list(dict.fromkeys(known)), dtype=np.int32)
