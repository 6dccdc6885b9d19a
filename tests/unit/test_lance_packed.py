"""Packed rows: what goes in comes out."""

import numpy as np
import pytest

from python_backends.stages.passage_selector import cosines
from python_backends.stores.lance_packed import packed, unpacked
from python_backends.stores.store import FoundPassage

RANDOM = np.random.default_rng(0)


def passage(number: int, text: str) -> FoundPassage:
    return FoundPassage("a\n[b].md", number, "Title", 3, text, '{"start": 0}', "{}")


def test_passages_come_out_as_they_went_in_each_once() -> None:
    given = [passage(0, 'quoted "東京"\0, ]'), passage(1, "")]
    rows = packed(given, RANDOM.normal(size=(2, 3)))
    assert unpacked([*rows, rows[0]], 3).passages == given
    nothing = unpacked([], 3)
    assert (nothing.passages, nothing.embeddings.shape) == ([], (0, 3))


@pytest.mark.parametrize("scale", [1e-3, 1, 1e3])
def test_cosines_stay_as_they_are_whatever_the_lengths(scale: float) -> None:
    rows, query = RANDOM.normal(size=(50, 384)).astype(np.float32), RANDOM.normal(size=384)
    given = [passage(n, "x") for n in range(50)]
    out = unpacked(packed(given, rows * np.float32(scale)), 384).embeddings
    assert cosines(out, query) == pytest.approx(cosines(rows, query), abs=1e-3)


def test_an_embedding_of_zeros_is_like_nothing() -> None:
    (row,) = unpacked(packed([passage(0, "x")], np.zeros((1, 3), np.float32)), 3).embeddings
    assert list(row) == [0, 0, 0]
