"""What the reranker learns from: a query, the passage that answers it, and passages that do not."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from builders.reference import facts
from builders.reference.docstrings import Passage
from builders.reference.facts import Fact
from builders.reference.minilm import Embedder, FloatArray

NEGATIVES = 7
CLOSEST = 16
FROM_CLOSEST = 4
FROM_SAME_MODULE = 1
# Above this cosine two passages are taken to say the same, so neither is wrong for the other.
SAME_TEXT = 0.9
REVERSED_SHARE = 0.15
# Questions that name the value and ask for the entity, the other way round from facts.question.
_REVERSED = (
    "Which {k} has {v} as its {n}?",
    "Which {k} has the {n} {v}?",
    "What has {v} as its {n}?",
    "{v} is the {n} of what?",
    "I am looking for the {k} whose {n} is {v}.",
    "{k} {n} {v}",
)
_TIES = ("neighbour", "rival", "ally", "partner")
_WORD = re.compile(r"[A-Z]?[a-z]{2,}|[A-Z]{2,}")
_FILLER_WORDS = (
    "a an and are as at be been but by can for from has have if in into is it its may more must "
    "no not of on only or other should so such than that the their them then there these they "
    "this to was were when which will with would you any all also does do"
)
_FILLER = frozenset(_FILLER_WORDS.split())
# How the first sentence of a docstring becomes the question that it answers.
_QUESTIONS = (
    (r"(?:raised|thrown) (when|if|by|on|for) (.+)", r"Which error is raised \1 \2?"),
    (r"returns? true if (.+)", r"How do I find out whether \1?"),
    (r"(?:check|test)s? (?:if|whether|that) (.+)", r"How do I check whether \1?"),
    (r"(?:return|get)s? (.+)", r"How do I get \1?"),
    (r"an? (?:abstract )?(?:base )?class (?:for|that|which) (.+)", r"Is there a class for \1?"),
    (
        r"(create|make|set|add|remove|read|write|parse|convert|send|open|close|run|find|compute|"
        r"delete|load|copy|start|stop|wait|print|format|build|call|handle|generate|extract)s? (.+)",
        r"How can I \1 \2?",
    ),
    (r"(?:an?|the) (.+)", r"What is the \1?"),
)


@dataclass(frozen=True)
class Group:
    """One query with the passage to rank first and the passages to rank below it."""

    query: str
    positive: str
    negatives: tuple[str, ...]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """(query, passage) for every passage, the positive first."""
        return [(self.query, passage) for passage in (self.positive, *self.negatives)]


@dataclass(frozen=True)
class Asked:
    """A query made from passage number ``source``, and the text left there to answer it."""

    query: str
    answer: str
    source: int


def docstring_groups(
    passages: Sequence[Passage], embedder: Embedder, rng: random.Random
) -> list[Group]:
    """One group for each passage that yields a query, with negatives the embedder finds close."""
    asked = docstring_queries(passages, rng)
    passage_vectors = embedder.encode([passage.text for passage in passages])
    query_vectors = embedder.encode([one.query for one in asked])
    return [
        Group(one.query, one.answer, _negatives(one, vector, passages, passage_vectors, rng))
        for one, vector in zip(asked, query_vectors, strict=True)
    ]


def docstring_queries(passages: Sequence[Passage], rng: random.Random) -> list[Asked]:
    """One query for each passage, in order."""
    return [_ask(passage, source, rng) for source, passage in enumerate(passages)]


def _ask(passage: Passage, source: int, rng: random.Random) -> Asked:
    """A query of one of four kinds, by lot among those that the passage allows."""
    sentences = passage.sentences
    chosen = rng.randrange(len(sentences))
    rest = " ".join(sentences[:chosen] + sentences[chosen + 1 :])
    kinds = [(_keywords(sentences[chosen], rng), passage.text)]
    if len(rest.split()) >= 12:
        kinds.append((_shortened(sentences[chosen], rng), rest))
        kinds.append((_keywords(sentences[chosen], rng), rest))
    question = _as_question(sentences[0])
    if question is not None:
        kinds += [(question, passage.text)] * 2
    query, answer = rng.choice(kinds)
    return Asked(query, answer, source)


def _as_question(sentence: str) -> str | None:
    """``sentence`` turned around, or None when it is long or fits no pattern."""
    bare = sentence.rstrip(" .:")
    if not 4 <= len(bare.split()) <= 22:
        return None
    for pattern, question in _QUESTIONS:
        if re.fullmatch(pattern, bare, re.IGNORECASE):
            return re.sub(pattern, question, bare, flags=re.IGNORECASE)
    return None


def _keywords(sentence: str, rng: random.Random) -> str:
    """Up to six of the sentence's content words, in order, as one types into a search box."""
    words = [word.lower() for word in _WORD.findall(sentence) if word.lower() not in _FILLER]
    kept = sorted(rng.sample(range(len(words)), min(len(words), rng.randint(3, 6))))
    return " ".join(words[i] for i in kept) or sentence


def _shortened(sentence: str, rng: random.Random) -> str:
    """At most twenty words in a row out of ``sentence``."""
    words = sentence.split()
    start = rng.randint(0, max(0, len(words) - 20))
    return " ".join(words[start : start + 20])


def _negatives(
    asked: Asked,
    query_vector: FloatArray,
    passages: Sequence[Passage],
    vectors: FloatArray,
    rng: random.Random,
) -> tuple[str, ...]:
    """Wrong passages: some close to the query [384], some of the same module, the rest by lot."""
    allowed = vectors @ vectors[asked.source] < SAME_TEXT
    by_cosine = np.argsort(np.where(allowed, -(vectors @ query_vector), 1.0), kind="stable")
    closest = [int(i) for i in by_cosine[:CLOSEST]]
    module = passages[asked.source].module
    siblings = [i for i, p in enumerate(passages) if p.module == module and allowed[i]]
    chosen = _sample(closest, FROM_CLOSEST, rng) | _sample(siblings, FROM_SAME_MODULE, rng)
    while len(chosen) < NEGATIVES:
        lot = rng.randrange(len(passages))
        if allowed[lot]:
            chosen[lot] = None
    return tuple(passages[i].text for i in chosen)


def _sample(items: list[int], most: int, rng: random.Random) -> dict[int, None]:
    """Up to ``most`` of the items: a set that keeps its order, so that runs repeat."""
    return dict.fromkeys(rng.sample(items, min(most, len(items))))


def fact_groups(number: int, rng: random.Random, held_out: bool = False) -> list[Group]:
    """Groups over invented facts; the held-out ones use names and phrasings training never saw."""
    return [_fact_group(rng, held_out) for _ in range(number)]


def _fact_group(rng: random.Random, held_out: bool) -> Group:
    """Every wrong passage shares the entity or the attribute with the right one, or names it."""
    asked = facts.random_fact(rng, *facts.random_entity(rng, held_out))
    passages = (
        _told([asked, *_others(asked, rng, rng.randint(0, 6))], rng, held_out),
        *(_silent(asked, rng, held_out) for _ in range(2)),
        *(_of_another(asked, rng, held_out) for _ in range(4)),
        _in_passing(asked, rng, held_out),
    )
    if rng.random() < REVERSED_SHARE:
        query = rng.choice(_REVERSED).format(k=asked.kind, n=asked.attribute, v=asked.value)
    else:
        query = facts.question(asked, rng, held_out)
    return Group(query, passages[0], passages[1:])


def _told(told: list[Fact], rng: random.Random, held_out: bool) -> str:
    """A passage that tells all the facts, in any order."""
    return facts.passage(rng.sample(told, len(told)), rng, held_out)


def _others(asked: Fact, rng: random.Random, number: int) -> list[Fact]:
    """``number`` facts about the same entity, of attributes other than the asked one."""
    found: dict[str, Fact] = {}
    while len(found) < number:
        fact = facts.random_fact(rng, asked.entity, asked.kind)
        if fact.attribute != asked.attribute:
            found[fact.attribute] = fact
    return list(found.values())


def _silent(asked: Fact, rng: random.Random, held_out: bool) -> str:
    """About the right entity, silent on the asked attribute."""
    return _told(_others(asked, rng, rng.randint(1, 5)), rng, held_out)


def _of_another(asked: Fact, rng: random.Random, held_out: bool) -> str:
    """About another entity, often of the same kind, with its own value of the asked attribute."""
    entity, any_kind = facts.random_entity(rng, held_out)
    kind = rng.choice((asked.kind, any_kind))
    same = facts.random_fact(rng, entity, kind, asked.attribute)
    return _told([same, *_others(same, rng, rng.randint(0, 4))], rng, held_out)


def _in_passing(asked: Fact, rng: random.Random, held_out: bool) -> str:
    """About another entity; the right one occurs in it as the value of some attribute."""
    entity, kind = facts.random_entity(rng, held_out)
    others = _others(Fact(entity, kind, asked.attribute, ""), rng, rng.randint(2, 4))
    return _told([Fact(entity, kind, rng.choice(_TIES), asked.entity), *others], rng, held_out)
