"""A search finds the same with a copy of the packed rows, whatever happened to the collection."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from python_backends.stores import lance_copy, lance_index, lance_search
from python_backends.stores.filters import NO_FILTER, parse
from python_backends.stores.lance_packed import PACKED
from python_backends.stores.lance_store import LanceStore
from python_backends.stores.store import Document, Found, Passage

WIDTH, DOCUMENTS = 8, 400
RANDOM = np.random.default_rng(0)
QUERIES = RANDOM.normal(size=(10, WIDTH)).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LanceStore]:
    """With a collection that has an index; it is brought up to date by `move_rows` only."""
    monkeypatch.setattr(lance_index, "TRAIN_FROM", 100)
    monkeypatch.setattr(lance_index, "PARTITION_ROWS", 50)
    monkeypatch.setattr(LanceStore, "_settle_later", lambda *_: None)
    store = LanceStore(tmp_path)
    store.create("books", "tiny@1", WIDTH)
    put(store, range(DOCUMENTS))
    move_rows(store)
    yield store
    store.close()


@pytest.fixture
def columns(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What searches read of LanceDB."""
    read: list[str] = []
    column = lance_search._column

    async def spied(search: Any, name: str, count: int) -> list[Any]:
        read.append(name)
        return await column(search, name, count)

    monkeypatch.setattr(lance_search, "_column", spied)
    return read


def put(store: LanceStore, numbers: range) -> None:
    rows = RANDOM.normal(size=(len(numbers), 1, WIDTH)).astype(np.float32)
    texts = [f"word{n % 7}" + " x" * n for n in numbers]  # no two are as good
    store.replace(
        "books",
        [
            Document(str(n), [Passage(text)], row, metadata={"even": n % 2 == 0})
            for n, text, row in zip(numbers, texts, rows, strict=True)
        ],
    )


def move_rows(store: LanceStore) -> None:
    store._settle("books", False, ())


def searches(store: LanceStore) -> list[Found]:
    books = store.collection("books")
    filters = NO_FILTER, parse('{"even": true}', books.fields)
    return [store.search(books, "word3", q, f, 8) for q in QUERIES for f in filters]


def copied(store: LanceStore) -> None:
    """Search, and wait for the copy that this begins."""
    searches(store)
    store._memory.copies.close()


def assert_same(found: list[Found], expected: list[Found]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert one.passages == other.passages
        assert (one.embeddings == other.embeddings).all()


def without_copy(store: LanceStore) -> list[Found]:
    other = LanceStore(store._folder)
    other._memory.copies.of = lambda _: None  # type: ignore[method-assign]
    found = searches(other)
    other.close()
    return found


def test_rows_come_from_the_copy_and_from_what_waits(store: LanceStore, columns: list[str]) -> None:
    copied(store)
    for change in (
        lambda: None,
        lambda: put(store, range(30)),
        lambda: put(store, range(395, 420)),
    ):
        change()
        columns.clear()
        found = searches(store)
        assert PACKED not in columns
        assert_same(found, without_copy(store))
    store.remove("books", ["3", "10", "200"])
    assert_same(searches(store), without_copy(store))


def test_rows_that_were_moved_are_copied_again(store: LanceStore, columns: list[str]) -> None:
    copied(store)
    put(store, range(0, 300))
    move_rows(store)
    columns.clear()
    assert_same(searches(store), without_copy(store))
    assert PACKED in columns
    copied(store)
    columns.clear()
    searches(store)
    assert PACKED not in columns


def test_a_collection_that_was_made_again_has_nothing_of_the_old_one(store: LanceStore) -> None:
    copied(store)
    store.delete("books")
    store.create("books", "tiny@1", WIDTH)
    put(store, range(1_000, 1_000 + DOCUMENTS))
    move_rows(store)
    for _ in range(2):
        assert_same(searches(store), without_copy(store))
        copied(store)


def test_a_collection_with_an_index_can_become_empty(store: LanceStore) -> None:
    store.remove("books", list(map(str, range(DOCUMENTS))))
    move_rows(store)
    for _ in range(2):
        assert not any(found.passages for found in searches(store))
        store._memory.copies.close()


def test_without_room_for_a_copy_searches_go_on(
    store: LanceStore, columns: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor is it tried for each search."""
    tried = []

    def full(**_: Any) -> None:
        tried.append(1)
        raise OSError("No space left on device")

    monkeypatch.setattr(lance_copy.tempfile, "TemporaryFile", full)
    copied(store)
    assert_same(searches(store), without_copy(store))
    assert len(tried) == 1
    assert set(columns) == {PACKED}


def test_each_version_of_a_collection_is_tried_once_beside_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, tried = lance_copy.PackedCopies(tmp_path), list[str]()
    monkeypatch.setattr(copies, "_make", lambda published: tried.append(published.table))
    for version in (1, 1, 2):
        for table in ("books", "boats"):
            copies.of(SimpleNamespace(table=table, version=version))  # type: ignore[arg-type]
            copies.close()
    assert tried == ["books", "boats"] * 2
