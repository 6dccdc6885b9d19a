"""Fictional facts, told and asked for in many ways: what the reference models learn from.

A fact is (entity, kind, attribute, value). `sentence` tells it, `question` asks for it, `answer`
states it in the fixed form the language model is taught. Each takes a `Random` and `held_out`:
held-out frames, like held-out entity names, never occur in training, so evaluation measures
what carries over. Everything here is a pure function of its `Random`.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

from builders.reference.names import PHRASES, entity_name, words
from builders.reference.values import GENERATORS, draw

OPEN_ATTRIBUTE_SHARE = 0.25
"""Share of facts whose attribute is a bare noun with any value: they teach matching by word."""


@dataclass(frozen=True)
class Fact:
    """One statement about the world: `entity` (a `kind`) has `value` as its `attribute`."""

    entity: str
    kind: str
    attribute: str
    value: str


@dataclass(frozen=True)
class Attribute:
    """How one attribute is spoken of; `unseen_*` frames are held out of training."""

    value: str
    nouns: tuple[str, ...]
    facts: tuple[str, ...] = ()
    questions: tuple[str, ...] = ()
    unseen_facts: tuple[str, ...] = ()
    unseen_questions: tuple[str, ...] = ()


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@cache
def attributes() -> dict[str, Attribute]:
    """The attributes of phrases/attributes.toml, by the name the answer uses."""
    with (PHRASES / "attributes.toml").open("rb") as file:
        tables = list(tomllib.load(file).values())
    rows = [Attribute(**{key: _frozen(val) for key, val in table.items()}) for table in tables]
    return {row.nouns[0]: row for row in rows}


@cache
def frames(group: str, held_out: bool = False) -> tuple[str, ...]:
    """The frames of phrases/frames.toml that fit every attribute."""
    with (PHRASES / "frames.toml").open("rb") as file:
        return tuple(tomllib.load(file)["unseen_" * held_out + group])


def _attribute(fact: Fact) -> Attribute:
    return attributes().get(fact.attribute) or Attribute("phrase", (fact.attribute,))


def random_fact(rng: Random, entity: str, kind: str, attribute: str | None = None) -> Fact:
    """A fact about the entity; without `attribute` a random one, at times an open one."""
    if attribute is None and rng.random() < OPEN_ATTRIBUTE_SHARE:
        noun = rng.choice(words("open_nouns"))
        return Fact(entity, kind, noun, draw(rng.choice(tuple(GENERATORS)), rng))
    name = attribute or rng.choice(tuple(attributes()))
    return Fact(entity, kind, name, draw(_attribute(Fact(entity, kind, name, "")).value, rng))


def random_entity(rng: Random, held_out: bool = False) -> tuple[str, str]:
    """An invented (name, kind), from the training or from the evaluation half of the names."""
    return entity_name(rng, held_out), rng.choice(words("kinds"))


def _mention(fact: Fact, rng: Random) -> str:
    """The entity as running text names it: its name, with its kind before or after at times."""
    if rng.random() < 0.55:
        return fact.entity
    return rng.choice(frames("mentions")).format(e=fact.entity, k=fact.kind)


def _with_article(noun: str) -> str:
    return f"{'an' if noun[0].lower() in 'aeio' else 'a'} {noun}"


def _capital(text: str, name: str) -> str:
    """First letter upper case, except where the text starts with a name written small."""
    return text if text.startswith(name) else text[:1].upper() + text[1:]


def _frame(fact: Fact, rng: Random, group: str, held_out: bool) -> str:
    """A frame: the attribute's own and the general ones have even chances where it has both."""
    general = frames(group, held_out)
    own: tuple[str, ...] = getattr(_attribute(fact), "unseen_" * held_out + group)
    return rng.choice(own if own and rng.random() < 0.55 else general)


def _fill(frame: str, fact: Fact, rng: Random, entity: str) -> str:
    nouns = _attribute(fact).nouns
    # The plain noun often: it is what people write, and what links a question to its sentence.
    noun = nouns[0] if rng.random() < 0.4 else rng.choice(nouns)
    if rng.random() < 0.1:
        noun = f"{rng.choice(frames('qualities'))} {noun}"
    if rng.random() < 0.2:
        frame = frame.replace(" is {v}", f" {rng.choice(frames('copulas'))} {{v}}")
    return frame.format(e=entity, n=noun, a_n=_with_article(noun), v=fact.value)


def clause(fact: Fact, rng: Random, held_out: bool = False) -> str:
    """The fact as a clause: no full stop, small first letter unless a name starts it."""
    return _fill(_frame(fact, rng, "facts", held_out), fact, rng, _mention(fact, rng))


def _dress(text: str, fact: Fact, rng: Random, held_out: bool) -> str:
    """Put an opening before or a closing after a clause, in three sentences of ten each."""
    draw_one = rng.random()
    if draw_one < 0.3:
        return f"{rng.choice(frames('openings', held_out))} {text}"
    text = _capital(text, fact.entity)
    return f"{text}, {rng.choice(frames('closings', held_out))}" if draw_one < 0.5 else text


def sentence(fact: Fact, rng: Random, held_out: bool = False) -> str:
    """One sentence that tells the fact; the value stands in it exactly as in `fact.value`."""
    return _dress(clause(fact, rng, held_out), fact, rng, held_out) + "."


def joined(first: Fact, second: Fact, rng: Random, held_out: bool = False) -> str:
    """One sentence that tells two facts."""
    joint = rng.choice(frames("joints", held_out))
    start = _capital(clause(first, rng, held_out), first.entity)
    return f"{start}{joint}{clause(second, rng, held_out)}."


def question(fact: Fact, rng: Random, held_out: bool = False) -> str:
    """One question whose answer is the fact's value; the value does not occur in it."""
    frame = _frame(fact, rng, "questions", held_out)
    text = _capital(_fill(frame, fact, rng, _mention(fact, rng)), fact.entity)
    return f"{rng.choice(frames('requests'))} {text}" if rng.random() < 0.06 else text


def answer(fact: Fact, source: int) -> str:
    """The taught answer: attribute, entity, exact value, the number of its passage (from 1)."""
    return f"The {fact.attribute} of {fact.entity} is {fact.value} [{source}]."


def sentences(facts: Sequence[Fact], rng: Random, held_out: bool = False) -> list[str]:
    """Sentences that tell all the facts in order, two in one sentence now and then."""
    out: list[str] = []
    left = list(facts)
    while left:
        first = left.pop(0)
        pair = bool(left) and rng.random() < 0.15
        out.append(
            joined(first, left.pop(0), rng, held_out) if pair else sentence(first, rng, held_out)
        )
    return out


def passage(facts: Sequence[Fact], rng: Random, held_out: bool = False) -> str:
    """A short text that tells all the facts, at times with a heading, an intro or a remark."""
    body = sentences(facts, rng, held_out)
    names = {"e": facts[0].entity, "k": facts[0].kind}
    if rng.random() < 0.3:
        body.insert(0, rng.choice(frames("intros")).format(**names))
    if rng.random() < 0.2:
        body.insert(rng.randint(0, len(body)), rng.choice(frames("remarks")).format(**names))
    heading = rng.choice(frames("headings")).format(**names) if rng.random() < 0.15 else ""
    gap = "\n" if rng.random() < 0.1 else " "
    return (heading + "\n" if heading else "") + gap.join(body)


def value_span(fact: Fact, text: str) -> tuple[int, int] | None:
    """Where `text` states the value: (start, end) in characters; None unless it is there once."""
    pattern = rf"(?<![\w.,-]){re.escape(fact.value)}(?![\w-])"
    found = [match.span() for match in re.finditer(pattern, text)]
    return found[0] if len(found) == 1 else None


@cache
def _clause_end() -> re.Pattern[str]:
    joints = map(re.escape, frames("joints") + frames("joints", held_out=True))
    return re.compile(rf"[.!?](?=\s|$)|\n|$|{'|'.join(joints)}")


def told_whole(text: str, start: int, end: int) -> int:
    """The character at which a clause whose value is text[start:end] has told its fact.

    That is where the value begins, if the clause ends with it. Else entity or attribute may come
    after it ("8123 is the port of Vebra"), and it is where the clause ends: whoever reads from left
    to right does not know before what the value belongs to.
    """
    if end == len(text) or text[end] in ".,;:!?\n":
        return start
    clause_end = next(_clause_end().finditer(text, end)).start()
    return min(clause_end, len(text) - 1)
