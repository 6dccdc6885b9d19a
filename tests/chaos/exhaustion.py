"""Nothing left: shared memory, disk, KV memory, places in the queues."""

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from operations.preflight import MIN_DISK_MIB
from tests.chaos import namespace, repositories, requests
from tests.chaos.judging import judge, judge_outage
from tests.chaos.repositories import WORK
from tests.chaos.requests import Request
from tests.chaos.scenario import Finding, Scenario, brief
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Outcome

BURST = 10
"""Requests for each place that there is."""
PLACES = 20
"""Requests of a model whose limits are lowered for the burst, running and waiting together."""
QUICK_S = 2.0
"""A refusal that takes longer is no refusal."""


def scenarios() -> Iterator[Scenario]:
    """Each ends with the thing given back."""
    yield Scenario("shm-full", "/dev/shm filled to the last byte, then freed", _shm_full)
    yield Scenario("disk-full", "the disk of the log and of TMPDIR full, then freed", _disk_full)
    yield Scenario(
        "kv-exhausted", "16 streams that need 6 times the KV memory there is", _kv_exhausted
    )
    for model in ("llm", "rag_cancellable"):
        done = f"{BURST} × as many requests to `{model}` at once as may run and wait"
        yield Scenario(f"burst-{model}", done, Burst(model))
    done = f"{BURST * PLACES} requests to `embed` at once, which has no bound"
    yield Scenario("burst-embed", done, Burst("embed"))


@contextlib.contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Take every byte of the folder's (small, own) file system, and give it back."""
    ballast = folder / "ballast"
    try:
        with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
            while file.write(b"\1" * 2**16):
                pass
        yield
    finally:
        ballast.unlink(missing_ok=True)


def _shm_full(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    with filled(namespace.SHARED_MEMORY):
        outcomes = running.send([*running.small[:14], *map(_large, range(4))])
    recovery_s = running.recover(fault_at)
    return judge_outage(running, before, outcomes, fault_at, recovery_s)


def _large(number: int) -> Request:
    """More than a region holds, so that it has to grow."""
    texts = [f"{number} {row} " + "port release alpha " * 2000 for row in range(60)]
    return Request("embed", (requests.text("input_text", *texts),))


def _disk_full(site: Site) -> Finding:
    site.end_kept()
    folder = WORK / "disk"
    folder.mkdir(parents=True, exist_ok=True)
    namespace.mount_tmpfs(folder, 2 * MIN_DISK_MIB)
    try:
        with site.fresh("disk-full", log=folder / "tritonserver.log", temporary=folder) as running:
            before, fault_at = running.warm_use(), time.monotonic()
            with filled(folder):
                bad = [Request("llm", (requests.text("text_input", b"\xff"),))] * 3
                outcomes = running.send([*running.small, *bad])
                found = judge(running, before, outcomes, fault_at)
            return found.with_faults(*_all_right(running, outcomes[:-3]))
    finally:
        namespace.unmount(folder)


def _all_right(running: Running, outcomes: list[Outcome]) -> Iterator[str]:
    wrong = [outcome for outcome in outcomes if not running.oracle.is_right(outcome)]
    if wrong:
        yield f"{len(wrong)} of {len(outcomes)} not answered: {brief(wrong[0].error)}"


def _kv_exhausted(site: Site) -> Finding:
    site.end_kept()
    repository = repositories.copy("small-kv")
    repositories.set_parameter(repository, "llm", "kv_cache_tokens", 2560)
    with site.fresh("kv-exhausted", repository) as running:
        before, fault_at = running.warm_use(), time.monotonic()
        to_send = (running.streams("llm") * 3)[:16]
        outcomes = running.send(to_send, 16)
        found = judge(running, before, outcomes, fault_at)
        return found.with_faults(*_all_right(running, outcomes))


class Burst:
    """Every request gets an answer or is refused at once, and those that are taken are answered."""

    def __init__(self, model: str) -> None:
        self._model = model

    def __call__(self, site: Site) -> Finding:
        running = site.kept("small-queues", make_repository)
        before, fault_at = running.warm_use(), time.monotonic()
        outcomes = running.send(self._to_send(running), BURST * PLACES)
        found = judge(running, before, outcomes, fault_at)
        return found.with_faults(*self._promises(running, outcomes))

    def _to_send(self, running: Running) -> list[Request]:
        known = running.streams(self._model) or [a for a in running.small if a.model == self._model]
        return (known * (BURST * PLACES))[: BURST * PLACES]

    def _promises(self, running: Running, outcomes: list[Outcome]) -> Iterator[str]:
        refused = [outcome for outcome in outcomes if outcome.end == "error"]
        answered = [outcome for outcome in outcomes if running.oracle.is_right(outcome)]
        if len(refused) + len(answered) != len(outcomes):
            yield f"{len(answered)} right and {len(refused)} refused of {len(outcomes)}"
        if not answered:
            yield "nobody was answered"
        if not refused and running.streams(self._model):
            yield "nobody was refused, so the bound was not reached"
        if others := [o.error for o in refused if "UNAVAILABLE" not in o.error]:
            yield f"refused with other words: {brief(others[0])}"
        if refused and statistics.median(o.elapsed_s for o in refused) > QUICK_S:
            yield "refusals were slow"


def make_repository() -> Path:
    """Limits so low that a burst of few requests passes them."""
    repository = repositories.copy("small-queues")
    for model in ("llm", "rag_cancellable"):
        repositories.set_parameter(repository, model, "max_running_requests", 4)
        repositories.set_parameter(repository, model, "max_waiting_requests", PLACES - 4)
    return repository
