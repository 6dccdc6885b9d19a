"""Clients that reset, never finish asking, or hardly read."""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil

from operations.supervisor.journal import Cause
from tests.chaos import sockets
from tests.chaos.judging import judge, judge_outage
from tests.chaos.requests import Request, ensemble, prompt
from tests.chaos.resources import Use, kv_used
from tests.chaos.scenario import Finding, Scenario
from tests.chaos.serving import wait_until
from tests.chaos.site import Running, Site
from tests.chaos.traffic import Line, Outcome, cut_stream
from tests.chaos.wire import Tensor

CLIENTS = 20
PARTIAL_STREAMS = 4000
OPEN_FILES = 400
LOST = 300
"""Connections, more than half of the files."""
RESTART_BOUND_S = 60.0
"""From their loss until the server has been drained and started again."""
FREED_S = 10.0
"""From a client's going until its KV memory is free."""


def scenarios() -> Iterator[Scenario]:
    """None of them may harm the others, or keep memory once it has gone."""
    yield Scenario(
        "client-reset", f"{CLIENTS} SSE clients reset their connection (RST) mid-stream", _reset
    )
    yield Scenario(
        "client-cancel", f"{CLIENTS} gRPC streams are cancelled at their first piece", _cancel
    )
    yield Scenario(
        "half-open", f"{CLIENTS} connections stop in the middle of their request", _half_open
    )
    yield Scenario(
        "slow-reader", "8 SSE clients read a byte each 10 ms of a stream of 1,900 tokens", _slow
    )
    asked = f"about {PARTIAL_STREAMS:,} short streams of which one output is asked for"
    yield Scenario("one-output", asked, _part)
    lost = f"{LOST} gRPC streams are cut after Triton refused their request, of {OPEN_FILES} files"
    yield Scenario("lost-connections", lost, _lost)


def _reset(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    for number in range(CLIENTS):
        connection = sockets.connect(running.ports)
        sockets.ask_stream(connection, prompt(number))
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        sockets.reset(connection)
    return _settled(running, before, fault_at, running.send(list(running.small[:14])))


def _cancel(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    to_send = (running.streams("llm") + running.streams("rag_cancellable")) * 2
    outcomes = [_cancelled(running, request) for request in to_send[:CLIENTS]]
    ended = {outcome.end for outcome in outcomes}
    found = _settled(running, before, fault_at, outcomes + running.send(list(running.small[:14])))
    return found if ended == {"cancelled"} else found.with_faults(f"ends: {ended}")


def _cancelled(running: Running, request: Request) -> Outcome:
    def on_piece(call: Any, _piece: str) -> None:
        call.cancel()

    with Line(running.address) as line:
        return line.send(request, 30, on_piece)


def _half_open(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    with contextlib.ExitStack() as stack:
        for number in range(CLIENTS):
            connection = stack.enter_context(sockets.connect(running.ports))
            head = b"POST /v2/models/llm/generate_stream HTTP/1.1\r\nContent-Length: 100\r\n\r\n{"
            connection.sendall(head[: 10 + 4 * number])
        outcomes = running.send(list(running.small[:14]))
    return _settled(running, before, fault_at, outcomes)


def _slow(site: Site) -> Finding:
    running = site.shared()
    before, fault_at = running.warm_use(), time.monotonic()
    over = threading.Event()
    connections = [sockets.connect(running.ports, receive_bytes=2048) for _ in range(8)]
    for number, connection in enumerate(connections):
        sockets.ask_stream(connection, prompt(number))
    reader = threading.Thread(target=_read_slowly, args=(connections, over))
    reader.start()
    outcomes = running.send(list(running.small) * 2)
    over.set()
    reader.join()
    return _settled(running, before, fault_at, outcomes)


def _read_slowly(connections: list[socket.socket], over: threading.Event) -> None:
    while not over.wait(0.01):
        for connection in connections:
            connection.recv(1)
    for connection in connections:
        connection.close()


def _part(site: Site) -> Finding:
    """What is not asked for, Triton's stub drops without Python's lock (docs/decisions/0018)."""
    running = site.shared()
    to_send = [replace(ensemble(prompt(n)), outputs=("text_output",)) for n in range(40)]
    to_send = list(running.oracle.learn(running.address, to_send))
    before, fault_at = running.warm_use(), time.monotonic()
    outcomes = running.send(to_send * (PARTIAL_STREAMS // len(to_send)), 12)
    return _settled(running, before, fault_at, outcomes)


def _lost(site: Site) -> Finding:
    """tritonserver keeps such connections: it is drained and started again before it is full."""
    site.end_kept()
    with site.fresh("lost-connections") as running:
        limits = (OPEN_FILES, OPEN_FILES)
        psutil.Process(running.server.pid).rlimit(psutil.RLIMIT_NOFILE, limits)
        before, fault_at = running.warm_use(), time.monotonic()
        wrong = Request("llm", (Tensor("text_input", "INT32", (1,)),))
        errors = [cut_stream(running.address, wrong) for _ in range(LOST)]
        outcomes = running.send(list(running.small[:14]))
        wait_until(lambda: _was_restarted(running), RESTART_BOUND_S)
        found = judge_outage(running, before, outcomes, fault_at, running.recover(fault_at))
        return found if all(errors) else found.with_faults("the wrong type was not refused")


def _was_restarted(running: Running) -> bool:
    return any(e.cause is Cause.FULL and e.action == "restarted" for e in running.server.events)


def _settled(running: Running, before: Use, fault_at: float, outcomes: list[Outcome]) -> Finding:
    """Judged; others must have been answered, and the memory of those that went is free."""
    wrong = [
        outcome
        for outcome in outcomes
        if outcome.end != "cancelled" and not running.oracle.is_right(outcome)
    ]
    faults = [f"{len(wrong)} other requests were harmed"] if wrong else []
    try:
        wait_until(lambda: kv_used(running.ports) <= 0, FREED_S)
    except TimeoutError:
        faults.append(f"KV memory in use {FREED_S:g} s after the clients went")
    return judge(running, before, outcomes, fault_at).with_faults(*faults)
