"""Reading in processes: faults of one file stay with it, and work is done ahead, in order."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from triton_rag.collections import Document, Passage
from triton_rag.errors import Overloaded
from triton_rag.ingestion import embedder
from triton_rag.ingestion.ahead import map_ahead
from triton_rag.ingestion.embedding import embed_documents
from triton_rag.ingestion.folder import File
from triton_rag.ingestion.reader_process import ReaderProcess, ReaderProcesses
from triton_rag.ingestion.reading import NotRead, ReadFile, Task, Unchanged, content_hash, read_file


def task(path: Path, stored_hash: str = "") -> Task:
    return Task(File(path, path.name, 0, 0), stored_hash, "recipe")


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "a.txt"
    path.write_text("The ferry sails.")
    return path


# --- one file --------------------------------------------------------------------------------


def test_a_file_that_has_not_changed_is_not_read(text: Path) -> None:
    known = content_hash("recipe", text.read_bytes())
    assert isinstance(read_file(task(text, known)), Unchanged)
    assert isinstance(read_file(Task(task(text).file, known, "another recipe")), ReadFile)


def test_a_file_that_is_gone_is_a_reason(tmp_path: Path) -> None:
    found = read_file(task(tmp_path / "gone.txt"))
    assert isinstance(found, NotRead)
    assert found.reason == "can't be read: No such file or directory"


def test_a_file_that_changes_while_it_is_read_is_left_to_the_next_run(
    text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = Path.read_bytes

    def slowly(path: Path) -> bytes:
        data = read(path)
        path.write_text("The ferry sinks, which is more.", encoding="utf-8")
        return data

    monkeypatch.setattr(Path, "read_bytes", slowly)
    found = read_file(task(text))
    assert isinstance(found, NotRead)
    assert found.reason == "it changes while it is read; the next run will read it"


# --- processes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (signal.SIGKILL, "its reader was killed (SIGKILL), as Linux does when memory is short"),
        (signal.SIGABRT, "its reader crashed (SIGABRT): damaged, or too large"),
    ],
)
def test_a_process_reads_and_another_follows_one_that_died(
    text: Path, sent: signal.Signals, reason: str
) -> None:
    process = ReaderProcess()
    with closing(process):
        assert isinstance(process.read(task(text)), ReadFile)
        assert process.pid is not None
        os.kill(process.pid, sent)
        died = process.read(task(text))
        assert isinstance(died, NotRead)
        assert died.reason.startswith(reason)
        assert isinstance(process.read(task(text)), ReadFile)


def test_a_file_that_takes_too_long_ends_its_process(tmp_path: Path, text: Path) -> None:
    os.mkfifo(tmp_path / "pipe.txt")  # reading it waits for a writer, for ever
    process = ReaderProcess(max_reading_s=1)
    with closing(process):
        found = process.read(task(tmp_path / "pipe.txt"))
        assert isinstance(found, NotRead)
        assert found.reason == "takes more than 1 s to read"
        process._max_reading_s = 60  # the next one is only slow
        assert isinstance(process.read(task(text)), ReadFile)


def test_modules_where_the_user_stands_are_not_imported(
    tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "hashlib.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with closing(ReaderProcesses(1)) as processes:
        assert isinstance(processes.read(task(text)), ReadFile)


# --- ahead -----------------------------------------------------------------------------------


def test_results_are_in_order_and_bounded() -> None:
    begun: list[int] = []
    both = threading.Barrier(2, timeout=60)

    def work(item: int) -> int:
        begun.append(item)
        both.wait()  # two at a time, or the barrier breaks
        return item * 10

    results = map_ahead(work, iter(range(6)), threads=2, ahead=2)
    assert next(results) == 0
    assert len(begun) <= 4
    assert list(results) == [10, 20, 30, 40, 50]


def test_an_error_comes_where_its_result_would_be() -> None:
    results = map_ahead(lambda item: 1 // item, [1, 0, 1], threads=1, ahead=1)
    assert next(results) == 1
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_who_stops_does_not_wait_for_what_has_begun() -> None:
    may_end, has_ended = threading.Event(), threading.Event()

    def work(item: int) -> int:
        if item:
            may_end.wait(20)
            has_ended.set()
        return item

    results = map_ahead(work, [0, 1], threads=1, ahead=1)
    assert next(results) == 0
    results.close()
    assert not has_ended.is_set()
    may_end.set()


# --- embedding -------------------------------------------------------------------------------


def numbered(name: str, values: Iterator[int], count: int) -> Document:
    return Document(name, [Passage(str(next(values))) for _ in range(count)])


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, [1] * 16), (3, [1, 1, 2, 3, 3, 3, 3]), (100, [7, 9])]
)
def test_documents_get_their_own_embeddings_whatever_is_in_a_request(
    rows: int, expected: list[int]
) -> None:
    values = iter(range(1000))
    sizes = [2, 7, 1, 1, 5]
    documents = [numbered(f"d{n}", values, size) for n, size in enumerate(sizes)]
    requests: list[int] = []

    def embed(texts: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        requests.append(len(texts))
        return np.array([[float(text)] for text in texts], np.float32)

    found = list(embed_documents(documents, embed, rows=rows, in_flight=2))
    assert [each.document.id for each in found] == [document.id for document in documents]
    for each in found:
        assert [[float(p.text)] for p in each.document.passages] == each.embeddings.tolist()
    assert sorted(requests) == expected, "the first are small"


def test_a_passage_is_embedded_below_its_title_and_headings() -> None:
    headings = {"headings": ["Heat pump", "Winter"]}
    document = Document("a.md", [Passage("Off.", metadata=headings)], title="Heat pump")
    asked: list[str] = []

    def embed(texts: list[str]) -> "np.ndarray[tuple[int, int], np.dtype[np.float32]]":
        asked.extend(texts)
        return np.ones((1, 1), np.float32)

    (found,) = embed_documents([document], embed)
    assert asked == ["Heat pump > Winter\nOff."]
    assert found.document is document


def test_waiting_for_a_server_is_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(embedder, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(embedder, "_TOLD_PAUSE_S", 0.003)
    faults = [Overloaded("the disk is full")] * 5

    def call() -> str:
        if faults:
            raise faults.pop()
        return "done"

    assert embedder.with_retries(call) == "done"
    (said,) = caplog.messages
    assert said == "waiting up to 60 s: the disk is full"
    with pytest.raises(Overloaded, match="full"):
        faults = [Overloaded("the disk is full")] * 99
        embedder.with_retries(call, retry_s=0.01)
