"""A collection that is searched while a writer replaces and removes documents of it."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

from triton_rag import Client, Document, Overloaded, Passage, TritonRagError

from tests.chaos.requests import Request, fact, number, question, text
from tests.collections_bench import rows

NAME = "soak"
ROWS = 12_000
"""Passages that the writer changes: enough for a vector index."""
STILL = rows.GROUPS
"""Metadata `group` of the documents that the writer leaves alone. They are fewer than a search
compares, so that it finds all of them, and what else is there does not change its answer."""
FACTS = 24
WRITE_S = 2.0
"""Between two changes; the server finds no quiet moment to bring the indexes up to date."""
REMOVED_EVERY = 5
"""One change in so many removes a document, which the next one puts back."""
BOUND_S = 60.0


def search(number_: int, model: str = "search", group: int = STILL, name: str = NAME) -> Request:
    """`model` is `search` or `answer`."""
    wanted = json.dumps({"group": group})
    tensors = text("question", question(number_)), text("collection", name), text("filter", wanted)
    return Request(model, tensors)


def search_all(number_: int) -> Request:
    """Without a filter; the best source stays the same, whatever the writer does."""
    tensors = text("question", question(number_)), text("collection", NAME)
    one = number("num_sources", 1)
    return Request("search", (*tensors, one), outputs=("source_relevance",))


def faulty() -> tuple[Request, ...]:
    """Requests that must be refused."""
    bad_filter = text("filter", '{"no such field": 1}')
    return (
        search(0, name="absent"),
        search(0, "answer", name="absent"),
        search(0, group=STILL + 1),
        Request("search", (text("question", "a"), text("collection", NAME), bad_filter)),
    )


class Collection:
    """`with Collection(address, folder) as collection:` fills it; `collection.write(stop)` changes
    it until the event `stop`.

    `faults` names what went wrong; `waits` counts changes that were asked to come again later.
    """

    def __init__(self, address: str, folder: Path) -> None:
        self.folder, self.faults = folder / NAME, list[str]()
        self.changes = self.waits = 0
        self._client = Client(address, timeout_s=BOUND_S)
        self._missing = 0
        """Documents that are removed and not yet put back."""

    def __enter__(self) -> "Collection":
        self._client.create_collection(NAME)
        for documents, embeddings in rows.batches(ROWS, 1_000):
            self._client.upsert(NAME, documents, embeddings)
        texts = [fact(n)[2] for n in range(FACTS)]
        documents = [
            Document(f"fact {n}", [Passage(told)], metadata={"group": STILL})
            for n, told in enumerate(texts)
        ]
        embeddings = self._client.embed(texts, input_type="passage")
        self._client.upsert(NAME, documents, embeddings)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def write(self, stop: threading.Event) -> None:
        for number_ in range(10**9):
            if stop.wait(WRITE_S):
                return
            try:
                self._change(number_)
                self.changes += 1
            except Overloaded:
                self.waits += 1
            except TritonRagError as error:
                self.faults.append(f"collections: {type(error).__name__}: {error}")

    def _change(self, number_: int) -> None:
        turn, place = divmod(number_, REMOVED_EVERY)
        start = (turn * REMOVED_EVERY + max(1, place)) * rows.PASSAGES % ROWS
        (document,) = rows.documents(start, rows.PASSAGES, seed=10**6 + number_)
        if place == 0:
            self._missing += self._client.remove(NAME, [document.id]).documents
        else:
            told = [passage.text for passage in document.passages]
            embeddings = self._client.embed(told, input_type="passage")
            change = self._client.upsert(NAME, [document], embeddings)
            self._missing -= change.documents - change.replaced

    def lost(self) -> Iterator[str]:
        """What is there is what was written."""
        expected = ROWS // rows.PASSAGES + FACTS - self._missing
        if (found := self._client.collection(NAME).documents) != expected:
            yield f"collections: {found} documents are there, {expected} were written"

    def disk_mib(self) -> float:
        return sum(size for _, size in self._files()) / 2**20

    def versions(self) -> int:
        """Versions of the table that are on disk."""
        return sum(path.parent.name == "_versions" for path, _ in self._files())

    def _files(self) -> Iterator[tuple[Path, int]]:
        for path in self.folder.rglob("*"):
            try:
                yield path, path.stat().st_blocks * 512 if path.is_file() else 0
            except FileNotFoundError:
                continue  # removed meanwhile
