from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_backends.stages.encoder import RowCache


class Computed:
    """Computes each key's length; records what it was asked for."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.keys, self.asked = keys, []

    def __call__(self, numbers: list[int]) -> list[np.ndarray]:
        self.asked += [self.keys[n] for n in numbers]
        return list(np.array([[len(self.keys[n])] for n in numbers], dtype=np.float32))


def ask(cache: RowCache, *keys: bytes) -> tuple[list[float], list[bytes]]:
    compute = Computed(keys)
    return [float(row[0]) for row in cache.results(keys, compute)], compute.asked


def test_a_known_row_is_not_computed_again() -> None:
    cache = RowCache(8)
    assert ask(cache, b"a", b"bb") == ([1, 2], [b"a", b"bb"])
    assert ask(cache, b"bb", b"ccc") == ([2, 3], [b"ccc"])


def test_equal_rows_of_one_batch_are_computed_once() -> None:
    values, asked = ask(RowCache(8), b"a", b"bb", b"a")
    assert values == [1, 2, 1]
    assert sorted(asked) == [b"a", b"bb"]


def test_the_least_recently_used_row_is_dropped_first() -> None:
    cache = RowCache(2)
    ask(cache, b"a", b"bb")
    ask(cache, b"a")
    ask(cache, b"ccc")
    assert ask(cache, b"a", b"ccc")[1] == []
    assert ask(cache, b"bb")[1] == [b"bb"]


def test_without_capacity_nothing_is_kept() -> None:
    cache = RowCache(0)
    ask(cache, b"a")
    assert ask(cache, b"a") == ([1], [b"a"])


def test_a_batch_larger_than_the_cache_is_answered_whole() -> None:
    assert ask(RowCache(1), b"a", b"bb", b"ccc")[0] == [1, 2, 3]


def test_a_row_without_a_key_is_always_computed() -> None:
    cache = RowCache(8)
    for _ in range(2):
        assert ask(cache, b"", b"", b"a")[1].count(b"") == 2


def test_rows_with_nan_are_not_kept() -> None:
    cache = RowCache(8)
    cache.results([b"a"], lambda numbers: [np.array([np.nan])])
    assert ask(cache, b"a") == ([1], [b"a"])


def test_a_failed_computation_leaves_nothing_behind() -> None:
    def fail(numbers: list[int]) -> list[np.ndarray]:
        raise RuntimeError("engine")

    cache = RowCache(8)
    with pytest.raises(RuntimeError):
        cache.results([b"a"], fail)
    assert ask(cache, b"a")[1] == [b"a"]


def test_a_kept_row_does_not_keep_its_batch_in_memory() -> None:
    cache, batch = RowCache(8), np.zeros((1000, 4), dtype=np.float32)
    cache.results([b"a"], lambda numbers: [batch[0]])
    (row,) = cache.results([b"a"], lambda numbers: [])
    assert row.base is None


@given(
    st.lists(st.lists(st.sampled_from([b"a", b"bb", b"ccc", b"dddd"]), min_size=1)),
    st.integers(0, 3),
)
def test_any_sequence_of_batches_gives_the_computed_values(
    batches: list[list[bytes]], capacity: int
) -> None:
    cache = RowCache(capacity)
    for keys in batches:
        assert ask(cache, *keys)[0] == [len(key) for key in keys]
