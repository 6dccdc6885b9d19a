"""Numbered passages with questions and answers, as text: the shape the serving stack builds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from builders.reference.facts import (
    Fact,
    answer,
    attributes,
    passage,
    question,
    random_entity,
    random_fact,
    told_whole,
    value_span,
)
from builders.reference.prose import prose, worn

SYSTEM = (
    "Answer from the numbered sources only and cite them like [1]. If they do not tell, say so."
)
NOT_TOLD = "The sources do not say."


@dataclass(frozen=True)
class Asked:
    """A question with its answer.

    `source` is the passage that tells it (from 1; 0: none does), `where` the character in that
    passage at which the value begins, `told` the one at which the fact is told whole.
    """

    question: str
    answer: str
    value: str = ""
    source: int = 0
    where: int = 0
    told: int = 0


@dataclass(frozen=True)
class Place:
    """Where a fact stands: in passage `source` (from 1) its value begins at character `where`.

    At character `told` the passage has told it whole: see `told_whole`. `name` is the last
    character of its entity's name before that, None where it is named otherwise; `attribute` the
    index of its attribute, None for an open one.
    """

    source: int
    where: int
    told: int
    name: int | None
    attribute: int | None


@dataclass(frozen=True)
class Lesson:
    """Some passages, the questions asked about them, and where the passages tell what."""

    passages: tuple[str, ...]
    asked: tuple[Asked, ...]
    places: tuple[Place, ...] = ()


@dataclass(frozen=True)
class Size:
    """How large the passages are: a step of the curriculum. Of `passages` one count is drawn.

    `wear` is the share of words that are dropped, replaced or followed by a stray one, in half of
    the lessons: what is left must do, as it must with a wording never met. Of the questions a share
    of `unanswerable` has no answer in the passages.
    """

    passages: tuple[int, ...] = (1, 2, 3, 3, 3, 4, 4, 4, 5)
    prose_share: float = 0.25
    prose_length: int = 3
    wear: float = 0.0
    unanswerable: float = 0.13


@dataclass(frozen=True)
class Unseen:
    """Which parts are drawn from what training never shows."""

    names: bool = False
    facts: bool = False
    questions: bool = False


USUAL, TRAINING = Size(), Unseen()


def user_message(passages: Sequence[str], asked: str) -> str:
    """The user's turn: numbered passages, an empty line, the question."""
    numbered = "\n".join(f"[{n}] {text}" for n, text in enumerate(passages, start=1))
    return f"{numbered}\n\nQuestion: {asked}"


def _topics(rng: Random, count: int, held_out: bool) -> list[list[Fact]]:
    """Facts for `count` passages. Entities share attributes: half a question does not suffice."""
    shared = rng.sample(tuple(attributes()), 4)
    entities = [random_entity(rng, held_out) for _ in range(rng.randint(1, count + 1))]
    known: set[tuple[str, str]] = set()
    topics = []
    for _ in range(count):
        entity, kind = rng.choice(entities)
        other = rng.choice(entities)
        facts = []
        for _ in range(rng.randint(1, 5)):
            who = (entity, kind) if rng.random() < 0.8 else other
            fact = random_fact(rng, *who, rng.choice(shared) if rng.random() < 0.4 else None)
            if (fact.entity, fact.attribute) not in known:
                known.add((fact.entity, fact.attribute))
                facts.append(fact)
        topics.append(facts)
    return topics


def _mixed(text: str, rng: Random, size: Size) -> str:
    """The text with prose before or after it at times."""
    if rng.random() > size.prose_share:
        return text
    extra = " ".join(prose(rng, rng.randint(1, size.prose_length)))
    return f"{extra} {text}" if rng.random() < 0.4 else f"{text} {extra}"


def _unanswerable(facts: Sequence[Fact], rng: Random, unseen: Unseen) -> Asked:
    """A question the passages do not answer: another attribute, or another entity."""
    known = rng.choice(facts)
    if rng.random() < 0.5:
        entity, kind = random_entity(rng, unseen.names)
        fact = Fact(entity, kind, known.attribute, "")
    else:
        told = {fact.attribute for fact in facts if fact.entity == known.entity}
        kinds = {attributes()[name].value for name in told if name in attributes()}
        # Another sort of value: "how long" would be ambiguous where a duration is told.
        free = [name for name, row in attributes().items() if row.value not in kinds]
        fact = Fact(known.entity, known.kind, rng.choice(free), "")
    return Asked(question(fact, rng, unseen.questions), NOT_TOLD)


def _asked(fact: Fact, place: Place, rng: Random, wear: float, unseen: bool) -> Asked:
    """The question about a fact."""
    told = answer(fact, place.source)
    text = worn(question(fact, rng, unseen), [fact.entity], wear, rng)
    return Asked(text, told, fact.value, place.source, place.where, place.told)


def _place(fact: Fact, text: str, source: int) -> Place | None:
    """Where a passage tells a fact, unless its value is not to be found exactly once."""
    span = value_span(fact, text)
    if span is None:
        return None
    told = told_whole(text, *span)
    start = text.rfind(fact.entity, 0, told)
    name = start + len(fact.entity) - 1 if start >= 0 else None
    names = list(attributes())
    attribute = names.index(fact.attribute) if fact.attribute in names else None
    return Place(source, span[0], told, name, attribute)


def _told(
    topics: Sequence[Sequence[Fact]], rng: Random, size: Size, unseen: Unseen
) -> tuple[list[str], list[Asked], list[Place]]:
    """The passages that tell the topics, a question about each fact, and where each is told."""
    kept = [text for facts in topics for fact in facts for text in (fact.entity, fact.value)]
    wear = rng.choice((0.0, size.wear))
    texts: list[str] = []
    asked: list[Asked] = []
    places: list[Place] = []
    for number, facts in enumerate(topics, start=1):
        if facts:
            told = worn(passage(facts, rng, unseen.facts), kept, wear, rng)
            texts.append(_mixed(told, rng, size))
        else:
            texts.append(" ".join(prose(rng, 1 + size.prose_length)))
        for fact in facts:
            place = _place(fact, texts[-1], number)
            if place:
                asked.append(_asked(fact, place, rng, wear, unseen.questions))
                places.append(place)
    return texts, asked, places


def lesson(
    rng: Random, questions: int = 6, size: Size = USUAL, unseen: Unseen = TRAINING
) -> Lesson:
    """Some passages with at most `questions` questions about them."""
    while True:
        topics = _topics(rng, rng.choice(size.passages), unseen.names)
        texts, asked, places = _told(topics, rng, size, unseen)
        if asked:
            break
    facts = [fact for told in topics for fact in told]
    rng.shuffle(asked)
    chosen = asked[:questions]
    for number in range(len(chosen)):
        if rng.random() < size.unanswerable:
            chosen[number] = _unanswerable(facts, rng, unseen)
    return Lesson(tuple(texts), tuple(chosen), tuple(places))
