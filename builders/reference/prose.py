"""Ordinary English for passages that tell nothing asked for: docstrings of the standard library."""

from __future__ import annotations

import ast
import re
import sysconfig
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from random import Random

from builders.reference.names import word, words


def _docstrings(path: Path) -> list[str]:
    """All docstrings of one source file, read without importing it."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, documented)]
    return [text for text in found if text]


@cache
def sentences() -> tuple[str, ...]:
    """Sentences of 5 to 40 words, in source order; the same for one Python release."""
    library = Path(sysconfig.get_paths()["stdlib"])
    paths = [library / f"{name}.py" for name in words("documented_modules")]
    text = [doc for path in paths if path.exists() for doc in _docstrings(path)]
    pieces = [piece for doc in text for piece in re.split(r"(?<=[.!?])\s+|\n\n", doc)]
    flat = [re.sub(r"\s+", " ", piece).strip() for piece in pieces]
    wanted = re.compile(r"[A-Z][^<>=\[\]{}|]*[.!?]")
    return tuple(s for s in flat if wanted.fullmatch(s) and 5 <= len(s.split()) <= 40)


def prose(rng: Random, count: int) -> list[str]:
    """`count` sentences that follow one another in their source, so they read like a text."""
    start = rng.randrange(len(sentences()) - count)
    return list(sentences()[start : start + count])


@cache
def _plain_words() -> tuple[str, ...]:
    return tuple(w for s in sentences() for w in s.split() if w.isalpha() and w.islower())


def worn(text: str, kept: Sequence[str], share: float, rng: Random) -> str:
    """The text with a share of its small words dropped, replaced or followed by a stray one.

    What is in `kept` (names, values) stays as it is.
    """
    if not share:
        return text
    parts = re.split(
        "(" + "|".join(map(re.escape, sorted(kept, key=len, reverse=True))) + ")", text
    )
    for number in range(0, len(parts), 2):  # every other part is one of `kept`
        parts[number] = re.sub(r"\b[a-z]{2,}\b", lambda m: _wear(m[0], share, rng), parts[number])
    return re.sub(" {2,}", " ", "".join(parts))


def _wear(plain: str, share: float, rng: Random) -> str:
    if rng.random() >= share:
        return plain
    stray = word(rng) if rng.random() < 0.2 else rng.choice(_plain_words())
    return rng.choice(("", stray, stray, f"{plain} {stray}", f"{stray} {plain}"))
