"""LanceDB's caches and old versions stay within limits."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from python_backends.stores import lance_reader, lance_store, lance_tables
from python_backends.stores.filters import NO_FILTER
from python_backends.stores.lance_store import LanceStore
from python_backends.stores.published import Published
from python_backends.stores.store import Document, Passage

WIDTH = 8
LIMIT = 100_000


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The caches that are made, in their order; with a limit that few versions reach."""
    made: list[Any] = []

    def session(published: Published) -> Any:
        made.append(lance_tables.session(published))
        return made[-1]

    monkeypatch.setattr(lance_tables, "LEAST_BYTES", LIMIT)
    for module in (lance_reader, lance_store):
        monkeypatch.setattr(module, "session", session)
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[LanceStore]:
    store = LanceStore(tmp_path)
    store.create("books", "tiny@1", WIDTH)
    yield store
    store.close()


def put(store: LanceStore, passages: int = 1) -> None:
    rows = np.eye(WIDTH, dtype=np.float32)[np.arange(passages) % WIDTH]
    store.replace("books", [Document("a", [Passage("some words")] * passages, rows)])


def search(store: LanceStore) -> int:
    books, anywhere = store.collection("books"), np.ones(WIDTH, np.float32)
    return len(store.search(books, "words", anywhere, NO_FILTER, 4).passages)


def test_what_replaced_versions_left_in_the_caches_goes(
    store: LanceStore, sessions: list[Any]
) -> None:
    for _ in range(40):
        put(store)
        assert search(store) == 1
    written, read = (one.size_bytes for one in sessions)
    assert max(written, read) < LIMIT * (1 + 1 / lance_tables.METADATA_SHARE)


def test_a_collection_that_outgrows_its_caches_gets_larger_ones(
    store: LanceStore, sessions: list[Any]
) -> None:
    for passages in (1, 100, 400, 300):
        put(store, passages)
        assert search(store) == min(passages, 4)
    assert len(sessions) == 4  # the reader's and the writer's, once more for 400


def test_the_tables_used_last_stay_open(
    store: LanceStore, sessions: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lance_tables, "MOST_OPEN", 1)
    put(store)
    opened = []
    for _ in range(2):
        search(store)
        store.documents("books", "", 1)
        opened.append(len(sessions))
    store.create("films", "tiny@1", WIDTH)
    store.documents("films", "", 1)
    search(store)
    opened.append(len(sessions))
    assert opened == [2, 2, 5]


def test_a_slow_writer_lets_the_indexes_wait_for_a_while_only(
    store: LanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few rows it writes. What was written before a pause does not count."""
    now_s = [1_000.0]
    due: list[bool] = []
    monkeypatch.setattr(time, "time", lambda: now_s[0])
    monkeypatch.setattr(store, "_settle_later", lambda _, first_s, *__: due.append(first_s == 0))
    for wait_s in (1_800, 4, 450, 450):
        now_s[0] += wait_s
        put(store)
    assert due == [False, False, False, True]


def test_a_change_of_few_passages_does_not_look_at_all_files(
    store: LanceStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Path] = []
    rglob = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda path, mask: looks.append(path) or rglob(path, mask))
    counts = []
    for passages in (100, 100, 103, 200):
        put(store, passages)
        counts.append(len(looks))
    assert counts == [1, 1, 1, 2]
