"""Invented names: pronounceable, of many shapes, split for good into training and evaluation."""

from __future__ import annotations

import tomllib
import zlib
from functools import cache
from pathlib import Path
from random import Random

PHRASES = Path(__file__).parent / "phrases"

TITLES = ("Dr. ", "Captain ", "Mrs. ", "Professor ", "Old ", "Sister ", "Master ")


@cache
def words(group: str) -> tuple[str, ...]:
    """One word list of phrases/words.toml."""
    with (PHRASES / "words.toml").open("rb") as file:
        return tuple(tomllib.load(file)[group])


def is_reserved(name: str) -> bool:
    """Whether a name is kept for evaluation: one in eight is, by its checksum, whoever draws it."""
    return zlib.crc32(name.encode()) % 8 == 0


def _syllable(rng: Random) -> str:
    # Half are plain (consonant, vowel): names people make up are simpler than the tables allow.
    if rng.random() < 0.5:
        return rng.choice("bcdfghjklmnprstvwz") + rng.choice("aeiou")
    return "".join(rng.choice(words(part)) for part in ("onsets", "vowels", "codas"))


def word(rng: Random) -> str:
    """One invented word of one to three syllables, lower case."""
    text = "".join(_syllable(rng) for _ in range(rng.choice((1, 2, 2, 2, 3))))
    return text if 3 <= len(text) <= 11 else word(rng)


def _place(rng: Random) -> str:
    stem = _syllable(rng)
    return (stem if len(stem) > 1 else word(rng)).capitalize() + rng.choice(words("endings"))


def _two_words(rng: Random) -> str:
    first = rng.choice(words("adjectives")) if rng.random() < 0.5 else word(rng)
    return f"{first.capitalize()} {rng.choice(words('nouns')).capitalize()}"


def _technical(rng: Random) -> str:
    first = word(rng) if rng.random() < 0.6 else rng.choice(words("nouns"))
    return f"{first}{rng.choice('--_')}{rng.choice(words('tech'))}"


def _numbered(rng: Random) -> str:
    stem = (
        word(rng).capitalize() if rng.random() < 0.5 else rng.choice(("AX", "KR", "T", "MV", "Q"))
    )
    return f"{stem}{rng.choice(' -')}{rng.randrange(2, 990)}"


def _plain(rng: Random) -> str:
    return word(rng).capitalize()


def _with_kind(rng: Random) -> str:
    return f"{_plain(rng)} {rng.choice(words('kinds'))}"


def _kind_of(rng: Random) -> str:
    return f"{rng.choice(words('kinds'))} of {place(rng)}"


def _any_name(rng: Random) -> str:
    plain = (_plain, _plain, _plain, _place, _place)
    return rng.choice((*plain, _two_words, _with_kind, _kind_of, _technical, _numbered))(rng)


def entity_name(rng: Random, held_out: bool = False) -> str:
    """The name of something facts are told about; the two halves of the split never meet."""
    while True:
        name = _any_name(rng)
        if is_reserved(name) == held_out:
            return name


def person(rng: Random) -> str:
    """A person: first and last name, at times a title."""
    title = rng.choice(TITLES) if rng.random() < 0.15 else ""
    first, last = word(rng).capitalize(), word(rng).capitalize()
    return f"{title}{last}" if title and rng.random() < 0.5 else f"{title}{first} {last}"


def place(rng: Random) -> str:
    """A place: one word, or two at times."""
    if rng.random() < 0.25:
        return f"{rng.choice(words('adjectives')).capitalize()} {_place(rng)}"
    return _place(rng) if rng.random() < 0.6 else _plain(rng)
