"""Lessons as token ids: one context, several questions about it, and where each answer comes from.

The questions of a lesson share its context: each sees the context and itself, not the others
(`segments`), and its positions go on where the context ends. So a context is computed once for
several answers, and each of them looks to the model as it does when served.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

import torch
from tokenizers import Encoding, Tokenizer
from torch import Tensor

from builders.reference.llm_text import SYSTEM, Asked, Lesson, Size, lesson
from builders.reference.llm_tokenizer import VOCABULARY

NONE = -100
"""Marks a position without a target."""


@dataclass
class Row:
    """One lesson as parallel lists, one entry per token."""

    tokens: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    segments: list[int] = field(default_factory=list)
    targets: list[int] = field(default_factory=list)
    copied_from: list[int] = field(default_factory=list)
    told_at: list[int] = field(default_factory=list)
    passage: list[int] = field(default_factory=list)
    facts: list[int] = field(default_factory=list)
    fact_value: list[int] = field(default_factory=list)
    fact_name: list[int] = field(default_factory=list)
    fact_attribute: list[int] = field(default_factory=list)
    context: int = 0

    def add(self, ids: Sequence[int], segment: int) -> None:
        """Append tokens of one segment without any target."""
        start = len(self.tokens) if segment == 0 else self.context + self.segments.count(segment)
        self.tokens += ids
        self.positions += range(start, start + len(ids))
        self.segments += [segment] * len(ids)
        for row in (self.targets, self.copied_from, self.told_at, self.passage):
            row.extend([NONE] * len(ids))


@dataclass(frozen=True)
class Batch:
    """Sequences padded to one length; every tensor is [batch, tokens], int64.

    `targets` is the next token where it is learned. `copied_from` is the position in the context
    that holds that next token, `told_at` the one where the answer's fact is told whole (0 when it
    is not told), `passage` the number of the passage a context token stands in. `context` is the
    shortest context of the batch: no target stands before it.

    `facts`, `fact_value`, `fact_name` and `fact_attribute` are [batch, facts]: where in the context
    each fact is told whole, where its value begins if that is elsewhere, where its entity's name
    ends, and the index of its attribute.
    """

    tokens: Tensor
    positions: Tensor
    segments: Tensor
    targets: Tensor
    copied_from: Tensor
    told_at: Tensor
    passage: Tensor
    facts: Tensor
    fact_value: Tensor
    fact_name: Tensor
    fact_attribute: Tensor
    context: int


def _token_at(encoding: Encoding, char: int) -> int:
    """The token that holds a character."""
    found = encoding.char_to_token(char)
    if found is None:
        raise ValueError(f"no token at character {char}")
    return int(found)


def _context(tokenizer: Tokenizer, passages: Sequence[str]) -> tuple[Encoding, list[int]]:
    """The prompt up to "Question:", encoded, and the character where each passage's text begins."""
    text = f"<|system|>{SYSTEM}<|end|><|user|>"
    starts = []
    for number, passage in enumerate(passages, start=1):
        text += f"[{number}] "
        starts.append(len(text))
        text += passage + "\n"
    return tokenizer.encode(text + "\nQuestion:"), starts


def _mark_sources(row: Row, encoding: Encoding, starts: Sequence[int]) -> None:
    """Write each context token's passage number, and 0 before the first passage."""
    for token, (begin, _) in enumerate(encoding.offsets):
        row.passage[token] = sum(begin >= start - 4 for start in starts)


def _sources(
    one: Asked, encoding: Encoding, context: Encoding, starts: Sequence[int]
) -> tuple[int, dict[int, int]]:
    """Where an answer comes from: the context token that ends the telling of its fact, and for each
    answer token that is copied (the value's tokens, the passage's number) the one it copies.

    Not for the first of a value that stands before what it is the value of: its token does not know
    that it is meant.
    """
    if not one.source:
        return 0, {}
    passage = starts[one.source - 1]
    text = f"<|assistant|>{one.answer}"
    begin = len(text) - len(f"{one.value} [{one.source}].")
    copied = {}
    for token, (first, end) in enumerate(encoding.offsets):
        char = first + (end - first > 1 and text[first : first + 1] == " ")
        if begin <= char < begin + len(one.value) and (char > begin or one.told == one.where):
            copied[token] = _token_at(context, passage + one.where + char - begin)
        elif char == len(text) - 3:
            copied[token] = _token_at(context, passage - 3)
    return _token_at(context, passage + one.told), copied


def _add_question(
    row: Row, tokenizer: Tokenizer, one: Asked, context: Encoding, starts: Sequence[int]
) -> None:
    """Append a question and its answer as one more segment."""
    segment = max(row.segments) + 1
    row.add(tokenizer.encode(f" {one.question}<|end|>").ids, segment)
    encoding = tokenizer.encode(f"<|assistant|>{one.answer}<|end|>")
    begin = len(row.tokens)
    row.add(encoding.ids, segment)
    told_at, copied = _sources(one, encoding, context, starts)
    for offset, following in enumerate(encoding.ids[1:]):
        row.targets[begin + offset] = following
        row.told_at[begin + offset] = told_at
        row.copied_from[begin + offset] = copied.get(offset + 1, NONE)


def encode_lesson(tokenizer: Tokenizer, taught: Lesson) -> Row:
    """A lesson as one row of tokens."""
    context, starts = _context(tokenizer, taught.passages)
    row = Row()
    row.add(context.ids, 0)
    row.context = len(context.ids)
    _mark_sources(row, context, starts)
    for place in taught.places:
        start = starts[place.source - 1]
        told, value = (_token_at(context, start + char) for char in (place.told, place.where))
        row.facts.append(told)
        row.fact_value.append(NONE if told == value else value)
        named = place.name is not None
        row.fact_name.append(_token_at(context, start + (place.name or 0)) if named else NONE)
        row.fact_attribute.append(NONE if place.attribute is None else place.attribute)
    for one in taught.asked:
        _add_question(row, tokenizer, one, context, starts)
    return row


def repetition(rng: Random, length: int) -> Row:
    """Random tokens, then the same again: the second time each is to be foretold."""
    ids = [rng.randrange(6, VOCABULARY) for _ in range(length)]
    row = Row()
    row.add(ids, 0)
    row.context = length
    row.add(ids, 1)
    for offset in range(length - 1):
        row.targets[length + offset] = ids[offset + 1]
        row.copied_from[length + offset] = offset + 1
    return row


def stack(rows: Sequence[Row]) -> Batch:
    """Pad rows to the longest one; padding has segment -1 and no targets."""

    def padded(name: str, fill: int) -> Tensor:
        lists = [getattr(row, name) for row in rows]
        longest = max(len(one) for one in lists)
        return torch.tensor(
            [one + [fill] * (longest - len(one)) for one in lists], dtype=torch.int64
        )

    return Batch(
        tokens=padded("tokens", 0),
        positions=padded("positions", 0),
        segments=padded("segments", -1),
        targets=padded("targets", NONE),
        copied_from=padded("copied_from", NONE),
        told_at=padded("told_at", NONE),
        passage=padded("passage", NONE),
        facts=padded("facts", 0),
        fact_value=padded("fact_value", NONE),
        fact_name=padded("fact_name", NONE),
        fact_attribute=padded("fact_attribute", NONE),
        context=min(row.context for row in rows),
    )


def lesson_batches(
    tokenizer: Tokenizer, seed: str, size: Size, *, questions: int, tokens: int, count: int
) -> list[Batch]:
    """About `count` batches, each of about `tokens` tokens.

    A function of its arguments only, so that a rerun sees the same data. Rows of like length
    share a batch, so that little is padding; the batches come in random order.
    """
    rng = Random(seed)
    rows: list[Row] = []
    while sum(len(row.tokens) for row in rows) < tokens * count:
        rows.append(encode_lesson(tokenizer, lesson(rng, questions, size)))
    rows.sort(key=lambda row: -len(row.tokens))
    batches: list[Batch] = []
    while rows:
        fitting = max(1, tokens // len(rows[0].tokens))
        batches.append(stack(rows[:fitting]))
        rows = rows[fitting:]
    if len(batches) > 1 and batches[-1].tokens.numel() < tokens / 2:
        batches.pop()
    rng.shuffle(batches)
    return batches
