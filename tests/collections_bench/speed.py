"""Times of `vector_search` on a real server, with and without a writer at work."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import tritonclient.grpc as grpcclient
from triton_rag import Client, Document, Overloaded

from python_backends.tensors import Array
from tests.collections_bench import rows
from tests.server.conftest import tensor, text

COLLECTION = "measured"
SEARCHES = 400
BATCH = 1_000
QUERY_SEED = 10**6
SETTLE_S = 80.0
"""LanceDB's versions stay for a minute; the indexes are up to date five seconds after a change."""
WRITER_ROWS, WRITER_PAUSE_S = 50, 0.25
"""The writer replaces five documents four times a second: 200 rows/s, what the embedder of this
kind of machine gives."""


@dataclass
class Measured:
    """What one collection showed; times are milliseconds."""

    rows: int
    ingest_rows_per_s: float
    times_ms: dict[str, tuple[float, ...]] = field(default_factory=dict)
    """Median, 99th percentile and, of searches, the mean in Triton, by kind of search."""
    recall: dict[str, float] = field(default_factory=dict)
    """Share of the 10 nearest that are found, by kind of search."""
    disk_bytes: int = 0
    memory_bytes: dict[str, int] = field(default_factory=dict)
    """What each model's process has for itself alone."""
    written_rows: int = 0
    """By the writer while the searches were timed."""
    cpu_ms: float = 0.0
    """What `vector_search` spends on a search without filter and writer."""


class Searches:
    """Searches with one client, one after the other."""

    def __init__(self, url: str, known: Array) -> None:
        self._client = grpcclient.InferenceServerClient(url)
        self._known = known
        self._vectors = rows.vectors(SEARCHES, QUERY_SEED)
        self._texts = rows.texts(SEARCHES, QUERY_SEED, words=8)

    def search(self, number: int, words: str, wanted: str, count: int = 16) -> Any:
        inputs = [
            text("query", words),
            tensor("query_embedding", self._vectors[number : number + 1], "FP32"),
            text("collection", COLLECTION),
            tensor("num_candidates", [count], "INT32"),
            *([text("filter", wanted)] if wanted else []),
        ]
        return self._client.infer("vector_search", inputs)

    def times_ms(self, wanted: str = "") -> tuple[float, float, float]:
        """Median and 99th percentile; and the mean in Triton, without the client and its call."""
        self.search(0, self._texts[0], wanted)
        took, before = [], self._served_ns()
        for number in range(SEARCHES):
            start_s = time.perf_counter()
            self.search(number, self._texts[number], wanted)
            took.append((time.perf_counter() - start_s) * 1e3)
        served_ms = (self._served_ns() - before) / 1e6 / SEARCHES
        return float(np.median(took)), float(np.percentile(took, 99)), served_ms

    def _served_ns(self) -> int:
        """How long searches have taken so far, from their arrival in Triton to their answer."""
        found = self._client.get_inference_statistics("vector_search")
        return int(found.model_stats[0].inference_stats.success.ns)

    def recall(self, wanted: str = "", group: int | None = None, searches: int = 100) -> float:
        """The share of the 10 nearest, by comparing with every row, that the search returns."""
        own = np.arange(len(self._known)) // rows.PASSAGES % rows.GROUPS
        possible = np.flatnonzero(own == group) if group is not None else np.arange(len(own))
        hits = []
        for number in range(searches):
            similarity = self._known[possible] @ self._vectors[number]
            best = {_id(possible[i]) for i in np.argsort(-similarity)[:10]}
            found = self.search(number, "no such word", wanted, count=64)
            order = np.argsort(-found.as_numpy("candidate_similarity"))[:10]
            hits.append(len(best & set(found.as_numpy("candidate_id")[order])) / 10)
        return float(np.mean(hits))

    def close(self) -> None:
        self._client.close()


def _id(row: int) -> bytes:
    return f"document {row // rows.PASSAGES}#{row % rows.PASSAGES}".encode()


def ingest(client: Client, count: int) -> float:
    """Fill the collection; rows per second."""
    client.create_collection(COLLECTION)
    spent_s = 0.0
    for documents, embeddings in rows.batches(count, BATCH):
        start_s = time.perf_counter()
        while not _is_taken(client, documents, embeddings):
            time.sleep(0.5)
        spent_s += time.perf_counter() - start_s
    return count / spent_s


def _is_taken(client: Client, documents: list[Document], embeddings: Array) -> bool:
    """False while an index is being made for so long that the server says to try later."""
    try:
        client.upsert(COLLECTION, documents, embeddings)
    except Overloaded:
        return False
    return True


@contextmanager
def writer(url: str) -> Iterator[Callable[[], int]]:
    """Replaces documents by equal ones while the block runs; how many rows it has written."""
    stop, written = threading.Event(), [0]
    batch = rows.documents(0, WRITER_ROWS, 1), rows.vectors(BATCH, 1)[:WRITER_ROWS]

    def work() -> None:
        with Client(url, timeout_s=600) as client:
            while not stop.wait(WRITER_PAUSE_S):
                written[0] += WRITER_ROWS * _is_taken(client, *batch)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield lambda: written[0]
    finally:
        stop.set()
        thread.join()


def _cpu_s(processes: Sequence[psutil.Process]) -> float:
    return sum(p.cpu_times().user + p.cpu_times().system for p in processes)


def _embedding_ms(client: Client) -> tuple[float, float]:
    """What a search costs before it: questions that the embedder has not seen."""
    took = []
    for question in rows.texts(SEARCHES, QUERY_SEED + 1, words=8):
        start_s = time.perf_counter()
        client.embed(question, input_type="query")
        took.append((time.perf_counter() - start_s) * 1e3)
    return float(np.median(took)), float(np.percentile(took, 99))


def settle(client: Client) -> None:
    """Wait until the indexes are up to date and the versions of the ingest are dropped."""
    time.sleep(SETTLE_S)
    client.collection(COLLECTION)


def measure(url: str, count: int, processes: Mapping[str, Sequence[psutil.Process]]) -> Measured:
    with Client(url, timeout_s=600) as client:
        measured = Measured(count, ingest(client, count))
        settle(client)
        known = np.concatenate(list(rows.vector_batches(count, BATCH)))
        searches = Searches(url, known)
        group, half = '{"group": 7}', '{"group": {"$lt": 50}}'
        before_s = _cpu_s(processes["vector_search"])
        measured.times_ms["no writer"] = searches.times_ms()
        spent_s = _cpu_s(processes["vector_search"]) - before_s
        measured.cpu_ms = spent_s * 1e3 / SEARCHES
        measured.times_ms["embedding of the question"] = _embedding_ms(client)
        measured.times_ms["filter that leaves 1 %"] = searches.times_ms(group)
        measured.times_ms["filter that leaves 50 %"] = searches.times_ms(half)
        measured.recall["no filter"] = searches.recall()
        measured.recall["filter that leaves 1 %"] = searches.recall(group, 7)
        with writer(url) as written:
            measured.times_ms["with a writer"] = searches.times_ms()
            measured.recall["with a writer"] = searches.recall()
            measured.written_rows = written()
        measured.disk_bytes = client.collection(COLLECTION).size_bytes
        measured.memory_bytes = {
            name: sum(process.memory_full_info().uss for process in found)
            for name, found in processes.items()
        }
        searches.close()
    return measured
