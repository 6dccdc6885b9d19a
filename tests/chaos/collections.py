"""Collections: who writes is killed, a collection's files are damaged, their disk is full."""

import contextlib
import os
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from triton_rag import Client, Document, Passage, TritonRagError, ingest

from operations.preflight import MIN_DISK_MIB
from tests.chaos import namespace
from tests.chaos.exhaustion import filled
from tests.chaos.judging import Recovery, judge, judge_outage
from tests.chaos.repositories import WORK
from tests.chaos.scenario import HANG_S, RECOVERY_BOUND_S, Finding, Scenario, brief
from tests.chaos.serving import wait_until
from tests.chaos.site import Site
from tests.server.killed_ingest import TEXTS, documents, kill_ingest

FOLDER = WORK / "collections"
"""Where a server whose log is in `WORK` keeps them."""
QUESTION = "Which edition is it?"
WRITE_S = 1.0
"""Writing goes on for so long before the fault."""


def scenarios() -> Iterator[Scenario]:
    """All but the last use the shared server."""
    yield Scenario(
        "kill-collections-mid-write",
        "`kill -9` of `collections`' process while two documents are replaced again and again, and "
        "searched",
        _kill,
    )
    yield Scenario(
        "kill-ingest",
        f"`kill -9` of an ingest of {TEXTS} files in its fourth commit; then the same ingest again",
        _kill_ingest,
    )
    yield Scenario(
        "damaged-collection", "garbage over every data file of one of two collections", _damage
    )
    yield Scenario(
        "collections-disk-full", "the disk of the collections full while one is written", _full
    )


class Editions:
    """Two documents, whose edition is replaced in one commit; what was reported, and seen."""

    def __init__(self, client: Client, collection: str) -> None:
        self._client, self._collection = client, collection
        self.reported, self.mixed = 0, list[str]()
        client.create_collection(collection)
        self.put(0)

    def put(self, number: int) -> None:
        """Raises `TritonRagError`; then the edition may be there or not."""
        texts = [f"Edition {number} of the book {name}." for name in "ab"]
        documents = [Document(name, [Passage(t)]) for name, t in zip("ab", texts, strict=True)]
        rows = self._client.embed(texts, input_type="passage")
        self._client.upsert(self._collection, documents, rows)
        self.reported = number

    def seen(self) -> set[int]:
        """The editions of all that a search finds."""
        found = self._client.search(QUESTION, self._collection, num_sources=9)
        return {int(source.text.split()[1]) for source in found}

    def look(self) -> None:
        with contextlib.suppress(TritonRagError):
            if len(editions := self.seen()) != 1:
                self.mixed.append(f"a search saw editions {sorted(editions)} at once")


def _kill(site: Site) -> Finding:
    running = site.shared()
    before = running.warm_use()
    with Client(running.address, timeout_s=HANG_S) as client:
        editions, stop = Editions(client, "editions"), threading.Event()
        threads = [threading.Thread(target=_until, args=(stop, work)) for work in _work(editions)]
        for thread in threads:
            thread.start()
        time.sleep(WRITE_S)
        os.kill(running.processes()["collections"].pid, signal.SIGKILL)
        fault_at = time.monotonic()
        with Recovery(running, fault_at) as recovery:
            outcomes = running.send(running.one_of_each())
        stop.set()
        for thread in threads:
            thread.join()
        found = judge_outage(running, before, outcomes, fault_at, recovery.seconds())
        wait_until(lambda: _answers(client), RECOVERY_BOUND_S)  # entries do without `collections`
        return found.with_faults(*dict.fromkeys(editions.mixed), *_lost(editions, client))


def _answers(client: Client) -> bool:
    try:
        return bool(client.collections())
    except TritonRagError:
        return False


def _work(editions: Editions) -> Iterator[Callable[[], None]]:
    def write() -> None:
        with contextlib.suppress(TritonRagError):
            editions.put(editions.reported + 1)

    yield write
    yield editions.look


def _until(stop: threading.Event, work: Callable[[], None]) -> None:
    while not stop.is_set():
        work()


def _lost(editions: Editions, client: Client) -> Iterator[str]:
    """What was reported is there, and writing goes on."""
    (there,) = editions.seen()
    if there < editions.reported:
        yield f"edition {editions.reported} was reported done, and {there} is there"
    if editions.reported == 0:
        yield "nothing was written before the fault"
    editions.put(editions.reported + 1)
    if editions.seen() != {editions.reported}:
        yield "what is written afterwards is not found"
    client.delete_collection("editions")


def _kill_ingest(site: Site) -> Finding:
    running = site.shared()
    before = running.warm_use()
    with (
        tempfile.TemporaryDirectory() as name,
        Client(running.address, timeout_s=HANG_S) as client,
    ):
        kill_ingest(running.address, Path(name), "killed")
        fault_at = time.monotonic()
        outcomes = running.send(running.one_of_each())
        faults = list(_gone_on_with(client, Path(name)))
        client.delete_collection("killed")
        return judge(running, before, outcomes, fault_at).with_faults(*faults)


def _gone_on_with(client: Client, folder: Path) -> Iterator[str]:
    """What was reported done is there, and the same ingest adds the rest, each file once."""
    there = documents(client, "killed")
    if there < 3:
        yield f"three commits of a document each were reported done, and {there} are there"
    report, found = ingest(client, folder, "killed"), client.collection("killed")
    if (report.unchanged, report.added) != (there, TEXTS - there):
        yield f"of {there} documents {report.unchanged} stayed, and {report.added} were added"
    if (found.documents, found.passages) != (TEXTS, TEXTS):
        yield f"{found.documents} documents and {found.passages} passages of {TEXTS} are there"


def _damage(site: Site) -> Finding:
    running = site.shared()
    with Client(running.address, timeout_s=HANG_S) as client:
        damaged, sound = Editions(client, "damaged"), Editions(client, "sound")
        before, fault_at = running.warm_use(), time.monotonic()
        for file in (FOLDER / "damaged").rglob("data/*.lance"):
            file.write_bytes(b"garbage" * 100)
        faults = [*_refused(damaged), *_served(sound)]
        outcomes = running.send(running.one_of_each())
        found = judge(running, before, outcomes, fault_at)
        for name in ("damaged", "sound"):
            client.delete_collection(name)
        Editions(client, "damaged").put(1)
        client.delete_collection("damaged")
    return found.with_faults(*faults)


def _refused(editions: Editions) -> Iterator[str]:
    try:
        yield f"a damaged collection was searched: {editions.seen()}"
    except TritonRagError as error:
        if "its files can't be used" not in str(error):
            yield f"the damage is not said: {brief(str(error))}"


def _served(editions: Editions) -> Iterator[str]:
    if editions.seen() != {0}:
        yield "the other collection is not searched"


def _full(site: Site) -> Finding:
    site.end_kept()
    folder = WORK / "collections-disk"
    folder.mkdir(parents=True, exist_ok=True)
    namespace.mount_tmpfs(folder, 2 * MIN_DISK_MIB)
    try:
        with (
            site.fresh("collections-disk-full", log=folder / "tritonserver.log") as running,
            Client(running.address, timeout_s=HANG_S) as client,
        ):
            editions = Editions(client, "editions")
            editions.seen()  # the first search loads LanceDB
            before, fault_at = running.warm_use(), time.monotonic()
            with filled(folder):
                faults = list(_without_room(editions))
                outcomes = running.send(running.one_of_each())
            editions.put(1)
            faults += _lost(editions, client)
            return judge(running, before, outcomes, fault_at).with_faults(*faults)
    finally:
        namespace.unmount(folder)


def _without_room(editions: Editions) -> Iterator[str]:
    try:
        editions.put(1)
        yield "a collection on a full disk took a change"
    except TritonRagError as error:
        if "the disk is full; nothing was changed" not in str(error):
            yield f"the full disk is not said: {brief(str(error))}"
    yield from _served(editions)
