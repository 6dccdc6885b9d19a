"""Models that are loaded again, files that are damaged, and the end of the server."""

import contextlib
import http.client
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil

from builders.repository import engine_link
from operations.ports import Ports
from operations.triton_api import TritonApi
from tests.chaos import repositories, sockets
from tests.chaos.judging import judge
from tests.chaos.processes import OpenStreams
from tests.chaos.requests import long_stream, prompt
from tests.chaos.resources import Use
from tests.chaos.scenario import HANG_S, Finding, Scenario, brief, tally
from tests.chaos.serving import wait_until
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Load, answered_stream

STOP_BOUND_S = 40.0
"""The supervisor drains for 30 s at most."""
OPEN_STREAMS = 100
STREAM_TOKENS = 600
"""All streams together take seconds, but fewer than the drain's bound."""
RELOADED = ("tokenizer", "embedder", "prompt_builder", "llm")
DAMAGED = (
    ("embedder", "model.onnx"),
    ("llm", "openvino_model.bin"),
    ("reranker", "manifest.json"),
    ("llm", "tokenizer.json"),
)


def scenarios() -> Iterator[Scenario]:
    """Those that end or damage a server have one of their own."""
    for model in RELOADED:
        yield Scenario(
            f"reload-{model}", f"`{model}` is loaded again twice under traffic", _reload(model)
        )
    yield Scenario(
        "new-version", "`embedder` gets version 2, then a broken version 3, under traffic", _version
    )
    for model, file in DAMAGED:
        yield Scenario(
            f"damaged-{model}-{Path(file).stem}",
            f"a byte in the middle of `{model}`'s `{file}` changes; reload under way, then start",
            _damaged(model, file),
        )
    yield Scenario("sigterm-streams", f"SIGTERM with {OPEN_STREAMS} open gRPC streams", _sigterm)
    yield Scenario(
        "sigterm-idle",
        "SIGTERM with 10 idle keep-alive connections, 10 abandoned SSE and 10 gRPC streams that "
        "had their answer and stay open",
        _idle,
    )
    yield Scenario("sigterm-failed-load", "SIGTERM after a load was refused", _after_failed_load)


def load(ports: Ports, model: str) -> str:
    """Load through the repository API; empty, or the server's refusal."""
    url = f"http://127.0.0.1:{ports.http}/v2/repository/models/{model}/load"
    try:
        with urllib.request.urlopen(url, data=b"", timeout=60):
            return ""
    except urllib.error.HTTPError as error:
        return error.read().decode(errors="replace")


def _reload(model: str) -> Callable[[Site], Finding]:
    def run(site: Site) -> Finding:
        running = site.shared()
        before, fault_at = running.warm_use(), time.monotonic()
        with Load(running.address, running.small, 4, HANG_S) as traffic:
            time.sleep(0.5)
            faults = [fault for _ in range(2) if (fault := _load_anew(running, model))]
            time.sleep(0.5)
        found = _none_failed(running, before, fault_at, traffic, model)
        return found.with_faults(*faults)

    return run


def _load_anew(running: Running, model: str) -> str:
    """Load the model with another process; empty when that worked.

    Triton answers a load without any change by doing nothing, so a parameter is changed. The old
    process ends only with the requests that it has.
    """
    old = running.pid_of(model)
    if refusal := TritonApi(running.ports).reload(model, 60):
        return refusal
    try:
        wait_until(lambda: running.pid_of(model) not in (old, None), 60)
    except TimeoutError:
        return f"`{model}` still has the process {old}"
    return ""


def _none_failed(
    running: Running, before: Use, fault_at: float, traffic: Load, model: str
) -> Finding:
    """All were answered, while that model's process was replaced."""
    found = judge(running, before, traffic.outcomes, fault_at, frozenset([model]))
    wrong = [outcome for outcome in traffic.outcomes if not running.oracle.is_right(outcome)]
    if wrong:
        ends = {f"{o.request.model}: {o.end} {brief(o.error)}" for o in wrong}
        return found.with_faults(f"{len(wrong)} not answered: {'; '.join(sorted(ends))}")
    return found


def _version(site: Site) -> Finding:
    site.end_kept()
    repository = repositories.copy("versions")
    with site.fresh("versions", repository) as running:
        before, fault_at = running.warm_use(), time.monotonic()
        with Load(running.address, running.small, 4, HANG_S) as traffic:
            _add_version(repository / "embedder", 2)
            refused = load(running.ports, "embedder")
            served = _has_version(running.ports, "embedder", 2)
            _add_version(repository / "embedder", 3)
            (repository / "embedder" / "3" / "model.py").write_text("raise RuntimeError('v3')\n")
            accepted = not load(running.ports, "embedder")
            kept = _has_version(running.ports, "embedder", 2)
        found = _none_failed(running, before, fault_at, traffic, "embedder")
    faults = {
        f"version 2 was refused: {brief(refused)}": bool(refused),
        "version 2 is not served": not served,
        "the broken version 3 was accepted": accepted,
        "version 2 does not go on beside a broken version 3": not kept,
    }
    return found.with_faults(*(words for words, is_true in faults.items() if is_true))


def _add_version(model: Path, version: int) -> None:
    shutil.copytree(model / "1", model / str(version), symlinks=True)


def _has_version(ports: Ports, model: str, version: int) -> bool:
    url = f"http://127.0.0.1:{ports.http}/v2/models/{model}/versions/{version}/ready"
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(url) as answer:
        return bool(answer.status == 200)
    return False


def _damaged(model: str, file: str) -> Callable[[Site], Finding]:
    """A running server refuses the damaged model and serves the old; a new one doesn't start."""

    def run(site: Site) -> Finding:
        repository = repositories.copy("damaged")
        running = site.kept("undamaged", lambda: repository)
        with _damage(repository, model, file):
            before, fault_at = running.warm_use(), time.monotonic()
            refusal = load(running.ports, model)
            outcomes = running.send(list(running.small[:14]))
            found = judge(running, before, outcomes, fault_at)
            start_refusal = _refusal_to_start(site, repository)
        wrong = [outcome for outcome in outcomes if not running.oracle.is_right(outcome)]
        harmed = (f"{len(wrong)} requests to the old version were harmed",) if wrong else ()
        silent = [
            f"the refusal to {what} doesn't name {file}: {brief(words)}"
            for what, words in (("reload", refusal), ("start", start_refusal))
            if file not in words
        ]
        return found.with_faults(*harmed, *silent)

    return run


@contextlib.contextmanager
def _damage(repository: Path, model: str, file: str) -> Iterator[None]:
    """The model's engine becomes a damaged copy, and the link again."""
    link = engine_link(model, repository)
    built = link.resolve()
    damaged = repositories.own_engine(repository, model) / file
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    damaged.write_bytes(raw)
    try:
        yield
    finally:
        shutil.rmtree(link)
        link.symlink_to(built)


def _refusal_to_start(site: Site, repository: Path) -> str:
    try:
        with site.start("damaged", repository):
            return "it started"
    except Exception as error:
        return str(error)


def _sigterm(site: Site) -> Finding:
    site.end_kept()
    with site.fresh("sigterm-streams") as running:
        to_send = [long_stream(1000 + number, STREAM_TOKENS) for number in range(OPEN_STREAMS)]
        processes = running.processes()
        with OpenStreams(running.address, to_send, 2 * STOP_BOUND_S) as streams:
            api = TritonApi(running.ports)
            wait_until(lambda: api.in_flight() >= OPEN_STREAMS, HANG_S, 0.02)
            fault_at = time.monotonic()
            status = running.server.stop()
            stopped_s = time.monotonic() - fault_at
            outcomes = streams.outcomes()
    seen = f"{tally(outcomes)}; ended in {stopped_s:.1f} s with status {status}"
    faults = tuple(dict.fromkeys(running.oracle.faults(_known(running, outcomes))))
    found = Finding(seen, faults=(*faults, *_stop_faults(status, stopped_s, processes)))
    lost = sum(outcome.end == "error" for outcome in outcomes)
    return found.with_faults(f"{lost} that were received got no answer") if lost else found


def _known(running: Running, outcomes: list[Any]) -> list[Any]:
    """Answers to prompts that were not learned can't be compared; hanging ones are faults."""
    return [o for o in outcomes if o.end in ("hung", "faulty") or running.oracle.knows(o.request)]


def _stop_faults(status: int, stopped_s: float, processes: dict[str, Any]) -> Iterator[str]:
    if status != 0:
        yield f"exit status {status}"
    if stopped_s > STOP_BOUND_S:
        yield f"took {stopped_s:.1f} s to stop"
    psutil.wait_procs(list(processes.values()), timeout=STOP_BOUND_S)  # SIGKILL takes its time too
    if left := [name for name, process in processes.items() if _is_alive(process)]:
        yield f"processes outlived the server: {', '.join(left)}"


def _is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _idle(site: Site) -> Finding:
    site.end_kept()
    with site.fresh("sigterm-idle") as running, contextlib.ExitStack() as stack:
        processes = running.processes()
        for number in range(10):
            stack.enter_context(contextlib.closing(_keep_alive(running.ports)))
            stack.enter_context(answered_stream(running.address, long_stream(number, 4)))
            connection = sockets.connect(running.ports)
            sockets.ask_stream(connection, prompt(number))
            connection.recv(100)
            sockets.reset(connection)
        fault_at = time.monotonic()
        status = running.server.stop()
        stopped_s = time.monotonic() - fault_at
    faults = tuple(_stop_faults(status, stopped_s, processes))
    return Finding(f"ended in {stopped_s:.1f} s with status {status}", faults=faults)


def _keep_alive(ports: Ports) -> http.client.HTTPConnection:
    """A connection that was used once and stays open."""
    connection = http.client.HTTPConnection("127.0.0.1", ports.http, timeout=20)
    connection.request("GET", "/v2/health/live")
    connection.getresponse().read()
    return connection


def _after_failed_load(site: Site) -> Finding:
    """Triton then waits for the model until its exit timeout."""
    site.end_kept()
    repository = repositories.copy("damaged")
    with site.fresh("sigterm-failed-load", repository) as running:
        processes = running.processes()
        with _damage(repository, "reranker", "manifest.json"):
            refusal = load(running.ports, "reranker")
        fault_at = time.monotonic()
        status = running.server.stop()
        stopped_s = time.monotonic() - fault_at
    found = Finding(f"ended in {stopped_s:.1f} s with status {status}")
    faults = tuple(_stop_faults(status, stopped_s, processes))
    return found.with_faults(*faults, *(() if refusal else ("the load was not refused",)))
