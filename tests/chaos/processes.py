"""Processes that die or stop, between requests and in the middle of streams."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ensembles.contracts import ModelContract
from ensembles.metrics import LARGE_REQUESTS
from ensembles.served_models import PYTHON_MODELS
from operations.triton_api import TritonApi
from tests.chaos.judging import Recovery, judge_outage
from tests.chaos.requests import Request, large_embed
from tests.chaos.resources import SERVER
from tests.chaos.scenario import HANG_S, RECOVERY_BOUND_S, Finding, Scenario
from tests.chaos.serving import wait_until
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Line, Outcome

_WORDS = {signal.SIGKILL: ("kill", "kill -9"), signal.SIGSTOP: ("stop", "SIGSTOP")}
_SERVER_WORDS = _WORDS | {signal.SIGABRT: ("abort", "SIGABRT")}


def scenarios() -> Iterator[Scenario]:
    """Every model's process, and streams whose model goes away under them."""
    for number, (short, long) in _WORDS.items():
        for model in PYTHON_MODELS:
            name = model.contract.name
            done = f"`{long}` of `{name}`'s process between requests; then each entry is asked"
            yield Scenario(f"{short}-{name}", done, _idle(model.contract, number))
        for name in ("llm", "rag_cancellable"):
            done = f"`{long}` of `{name}`'s process while streams run"
            yield Scenario(f"{short}-{name}-mid-stream", done, _mid_stream(name, number))
    for number, (short, long) in _SERVER_WORDS.items():
        done = f"`{long}` of tritonserver itself while streams run"
        yield Scenario(f"{short}-{SERVER}", done, _server(number))
    done = "`kill -9` of `tokenizer`'s process, then of the new one while it is being loaded"
    yield Scenario("kill-loading", done, _loading)
    done = "`kill -9` of `embedder`'s process while it computes two large requests"
    yield Scenario("kill-embedder-mid-request", done, _large)


def _idle(model: ModelContract, number: signal.Signals) -> Callable[[Site], Finding]:
    def run(site: Site) -> Finding:
        if model.decoupled:  # the server is started again, and waits longer each time
            site.end_kept()
        running = site.shared()
        before = running.warm_use()
        fault_at = _signal(running, model.name, number)
        with Recovery(running, fault_at) as recovery:
            outcomes = running.send(running.one_of_each())
        return judge_outage(running, before, outcomes, fault_at, recovery.seconds())

    return run


def _mid_stream(model: str, number: signal.Signals) -> Callable[[Site], Finding]:
    def run(site: Site) -> Finding:
        site.end_kept()  # as above
        running = site.shared()
        return _cut(running, running.streams(model), model, number)

    return run


def _server(number: signal.Signals) -> Callable[[Site], Finding]:
    def run(site: Site) -> Finding:
        site.end_kept()
        with site.fresh("server-lost") as running:
            return _cut(running, running.long, SERVER, number)

    return run


def _cut(
    running: Running, to_send: Sequence[Request], process: str, number: signal.Signals
) -> Finding:
    """Streams lose the process in their middle."""
    before = running.warm_use()
    with OpenStreams(running.address, to_send) as streams:
        streams.wait_until_flowing(0.5)  # the first are over soon
        fault_at = _signal(running, process, number)
        with Recovery(running, fault_at) as recovery:
            outcomes = streams.outcomes()
    found = judge_outage(running, before, outcomes, fault_at, recovery.seconds())
    cut = sum(outcome.end == "error" for outcome in outcomes)
    return found if cut else found.with_faults("no stream was cut: the fault came too late")


def _signal(running: Running, process: str, number: signal.Signals) -> float:
    """`process` is a model's, or the server."""
    pid = running.server.pid if process == SERVER else running.processes()[process].pid
    os.kill(pid, number)
    return time.monotonic()


def _loading(site: Site) -> Finding:
    """Triton waits for ever for a process that dies before it is loaded."""
    running = site.shared()
    before, server = running.warm_use(), running.server.pid
    old = running.pid_of("tokenizer")
    _signal(running, "tokenizer", signal.SIGKILL)
    wait_until(lambda: running.pid_of("tokenizer") not in {None, old}, RECOVERY_BOUND_S, 0.002)
    fault_at = _signal(running, "tokenizer", signal.SIGKILL)
    with Recovery(running, fault_at) as recovery:
        outcomes = running.send(running.one_of_each())
    found = judge_outage(running, before, outcomes, fault_at, recovery.seconds())
    is_same = running.server.pid == server
    return found.with_faults("the second came too late: it was loaded") if is_same else found


def _large(site: Site) -> Finding:
    """An encoder answers large requests from a thread, so Triton does not fail them."""
    site.end_kept()  # the server is started again
    running = site.shared()
    before, api = running.warm_use(), TritonApi(running.ports)
    to_send = [large_embed(number) for number in range(2)]
    with ThreadPoolExecutor(1) as pool:
        sent = pool.submit(running.send, to_send)
        wait_until(lambda: _computes_large(api), HANG_S, 0.02)
        fault_at = _signal(running, "embedder", signal.SIGKILL)
        with Recovery(running, fault_at) as recovery:
            outcomes = sent.result()
    found = judge_outage(running, before, outcomes, fault_at, recovery.seconds())
    is_cut = all(outcome.end == "error" for outcome in outcomes)
    return found if is_cut else found.with_faults("a request was answered: the fault came too late")


def _computes_large(api: TritonApi) -> bool:
    return any(
        sample.name == LARGE_REQUESTS.name and sample.labels["model"] == "embedder"
        for sample in api.metrics()
        if sample.value
    )


class OpenStreams:
    """Streams on connections of their own, read by threads until they end."""

    def __init__(self, address: str, to_send: Sequence[Request], bound_s: float = HANG_S) -> None:
        self._address, self._to_send, self._bound_s = address, to_send, bound_s
        self._flowing = threading.Semaphore(0)
        self._pool = ThreadPoolExecutor(len(to_send))
        self._ends: list[Any] = []

    def __enter__(self) -> "OpenStreams":
        self._ends = [self._pool.submit(self._read, request) for request in self._to_send]
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def _read(self, request: Request) -> Outcome:
        is_first = True

        def on_piece(_call: Any, _piece: str) -> None:
            nonlocal is_first
            if is_first:
                is_first = False
                self._flowing.release()

        with Line(self._address) as line:
            return line.send(request, self._bound_s, on_piece)

    def wait_until_flowing(self, share: float) -> None:
        """Until this share of the streams has brought a first piece."""
        for _ in range(max(1, round(share * len(self._to_send)))):
            assert self._flowing.acquire(timeout=self._bound_s), "a stream brought nothing"

    def outcomes(self) -> list[Outcome]:
        """Wait for their ends."""
        return [end.result() for end in self._ends]
