"""Asks a question and judges the passages and the answer."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from triton_rag.errors import TritonRagError
from triton_rag.evaluation.corpora import Corpus, Rankings
from triton_rag.evaluation.questions import Question
from triton_rag.evaluation.text import holds, normalized, share_of_words
from triton_rag.results import UNGROUNDED, Answer, Source

DocumentOf = Callable[[Source], str]
"""The path of the document that a source is from."""

REFUSALS = ("The documents do not answer this question.", "The sources do not say")
"""Sentences that count as a refusal, besides that finish reason: the server's and a test LLM's."""
CITATION = re.compile(r"\[\d{1,4}\]")
"""Removed from an answer before it is judged: the 1 of `[1]` must not count as an answer."""
EVIDENCE_SHARE = 0.5
"""A passage with this share of the evidence's words counts as holding it: a cut may divide it."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of one question; after an error it counts as not found, not right, not refused.

    Ranks begin at 1; None means that no returned passage has the answer.
    """

    question: Question
    served_rank: int | None = None
    similarity_rank: int | None = None
    """The rank in the order of the embedder's similarity, among the same passages."""
    relevance_rank: int | None = None
    """The rank in the order of the reranker's score, among the same passages."""
    fused_rank: int | None = None
    """The rank in the order of similarity and words together; only for a collection."""
    words_rank: int | None = None
    """The rank in the order of words alone (BM25); only for a collection."""
    is_right: bool = False
    is_cited_right: bool = False
    """Whether the citation after the answer names a source that has it."""
    is_refused: bool = False
    text: str = field(default="", repr=False)
    """The answer as the server gave it."""
    seconds: float = 0.0
    """Time of the whole answer, without embedding its documents: the search before it did that."""
    error: str = ""


def ask_question(corpus: Corpus, question: Question, refusals: Sequence[str] = REFUSALS) -> Outcome:
    """Search for a question's passages and answer it; an error of the server is an outcome too."""
    try:
        found = corpus.search(question.question)
        rankings = corpus.rankings(question.question)
        start_s = time.monotonic()
        answer = corpus.ask(question.question)
    except TritonRagError as error:
        return Outcome(question, error=f"{type(error).__name__}: {error}")
    seconds = time.monotonic() - start_s
    return judged(question, corpus.document, found, rankings, answer, seconds, refusals)


def judged(
    question: Question,
    document: DocumentOf,
    found: Sequence[Source],
    rankings: Rankings,
    answer: Answer,
    seconds: float,
    refusals: Sequence[str] = REFUSALS,
) -> Outcome:
    """The outcome of a question: `found` and `answer` are judged; `rankings` are from before
    reranking."""
    is_refused = refuses(answer, refusals)
    is_right = (
        question.is_answerable
        and not is_refused
        and holds(CITATION.sub("", answer.text), question.answers)
    )
    by_id = {source.id: source for source in found}
    return Outcome(
        question,
        rank(question, document, found),
        rank(question, document, sorted(found, key=lambda source: -source.similarity)),
        rank(question, document, sorted(found, key=lambda source: -source.relevance)),
        rank(question, document, [by_id[one] for one in rankings.fused if one in by_id]),
        rank(question, document, [by_id[one] for one in rankings.by_words if one in by_id]),
        is_right=is_right,
        is_cited_right=is_right
        and any(tells(question, document, source) for source in _cited_for(question, answer)),
        is_refused=is_refused,
        text=answer.text,
        seconds=seconds,
    )


def _cited_for(question: Question, answer: Answer) -> tuple[Source, ...]:
    """The source of the first citation after a right answer in the text, or of the first one."""
    end = 0
    for found in CITATION.finditer(answer.text):
        number = int(found[0][1:-1])
        if number not in answer.citations:
            continue
        if holds(CITATION.sub("", answer.text[end : found.start()]), question.answers):
            return (answer.sources[number - 1],)
        end = found.end()
    return answer.cited[:1]


def rank(question: Question, document: DocumentOf, sources: Sequence[Source]) -> int | None:
    """The rank of the first source that has the answer, from 1."""
    places = (n for n, source in enumerate(sources, 1) if tells(question, document, source))
    return next(places, None)


def tells(question: Question, document: DocumentOf, source: Source) -> bool:
    """Whether a passage is from the right document and holds an answer and its evidence."""
    return (
        document(source) == question.document
        and holds(source.text, question.answers)
        and share_of_words(source.text, question.evidence) >= EVIDENCE_SHARE
    )


def refuses(answer: Answer, refusals: Sequence[str] = REFUSALS) -> bool:
    """Whether the server declined to answer: by its policy, or with one of the sentences."""
    text = normalized(answer.text)
    is_sentence = any(normalized(sentence) in text for sentence in refusals)
    return answer.finish_reason == UNGROUNDED or is_sentence
