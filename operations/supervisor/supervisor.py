"""tritonserver kept alive: started, watched, brought back, and stopped without losing a request."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from builders.repository import REPOSITORY
from builders.spec import Sku
from operations.ports import Ports, port_faults
from operations.preflight import PreflightError
from operations.server import ServerError, TritonServer
from operations.supervisor.canary import canaries
from operations.supervisor.drain import Drain
from operations.supervisor.endpoint import Endpoint, Handler, Page
from operations.supervisor.events import SERVER, Cause, Event
from operations.supervisor.health import Backoff
from operations.supervisor.journal import Journal, print_line
from operations.supervisor.metrics import CONTENT_TYPE, SupervisorMetrics
from operations.supervisor.notify import ALIVE, READY, STOPPING, notify
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import TritonApi
from operations.supervisor.watch import Watch

logger = logging.getLogger(__name__)

FIRST_ANSWERS_S = 30.0
"""How long the start waits for every model's first canary; it goes on without them then."""

STALLED_S = 300.0
"""Longer than the loop is ever held up: by a start of the server and the longest wait before it."""


class Supervisor:
    """`with Supervisor(sku, ports, log) as running:` serves until the block ends.

    The same as `TritonServer`, whose log goes to `log`, but a model that dies comes back, as does
    the server. `health_port` 0 takes a free one. `handlers` are asked for paths that are not the
    supervisor's own. Raises what `TritonServer` raises when the first start fails.
    """

    def __init__(
        self,
        sku: Sku,
        ports: Ports,
        log: Path,
        repository: Path = REPOSITORY,
        options: tuple[str, ...] = (),
        settings: Settings | None = None,
        health_port: int = 0,
        handlers: tuple[Handler, ...] = (),
        variables: Mapping[str, str] | None = None,
        report: Callable[[str], None] = print_line,
    ) -> None:
        self.ports, self.log = ports, log
        self._settings = settings or Settings()
        health = {"health": health_port} if health_port else {}
        if found := list(port_faults(health, ports.address)):
            raise PreflightError("\n".join(found))
        bound_s = self._settings.drain_s + self._settings.exit_s + 5
        options = (*options, f"--exit-timeout-secs={bound_s:.0f}")  # ours comes first
        self._server = TritonServer(sku, ports, log, repository, options, variables)
        self._api = TritonApi(ports, self._server.admin_key)
        self._journal = Journal(report)
        self._metrics = SupervisorMetrics(tuple(canary.model for canary in canaries()))
        self._endpoint = Endpoint(health_port, (self._own_pages, *handlers), ports.address)
        self._watch: Watch | None = None
        self._stop = threading.Event()
        self._beat_s = time.monotonic()
        self._status, self._is_closed = 0, False
        self._ended = threading.Event()
        self._watch_thread = threading.Thread(target=self._run, name="supervisor")

    @property
    def pid(self) -> int:
        """Process id of the running tritonserver."""
        return self._server.pid

    @property
    def health_port(self) -> int:
        """Where /livez, /readyz and /metrics are."""
        return self._endpoint.port

    @property
    def events(self) -> list[Event]:
        """What was done so far, oldest first."""
        return self._journal.events

    @property
    def is_ready(self) -> bool:
        """Whether every model answers."""
        return not self._stop.is_set() and not any(self._problems().values())

    def __enter__(self) -> "Supervisor":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model has answered."""
        self._endpoint.__enter__()
        try:
            self._server.start()
        except BaseException:
            self._endpoint.close()
            raise
        self._watch = self._new_watch()
        self._watch_thread.start()
        try:
            self._wait_for_answers()
        except BaseException:  # interrupted: nobody will call `stop`
            self.stop()
            raise
        notify(READY)

    def _wait_for_answers(self) -> None:
        deadline = time.monotonic() + FIRST_ANSWERS_S
        while not self.is_ready and time.monotonic() < deadline:
            time.sleep(0.05)

    def stop(self) -> int:
        """Drain and end; 0 when all requests in flight were answered within `drain_s`, else 1."""
        self._stop.set()
        notify(STOPPING)
        if self._watch is None:  # being started again: there is nothing to drain
            with contextlib.suppress(AssertionError):
                self._server.kill()
        if self._watch_thread.ident is not None and not self._is_closed:
            self.wait()
            self._endpoint.close()
            self._is_closed = True
        return self._status

    def wait(self) -> int:
        """Until stopped: a supervisor does not end by itself."""
        while not self._ended.wait(1.0):  # not join: Python 3.11 forgets threads if interrupted
            pass
        return self._status

    # --- the thread that started the server again must live as long as the server ----------

    def _run(self) -> None:
        backoff = Backoff(self._settings)
        try:
            while not self._stop.wait(self._settings.poll_s):
                self._beat_s = time.monotonic()
                notify(ALIVE)
                try:
                    self._step(backoff)
                except Exception:  # one fault of ours must not leave the server unwatched
                    logger.exception("the supervisor failed at a step; going on")
            self._end()
        finally:
            self._ended.set()

    def _step(self, backoff: Backoff) -> None:
        if self._watch is None:
            self._restart(backoff)
        elif cause := self._server_fault(self._watch):
            self._lose_server(cause)
        else:
            self._watch.tick(self._beat_s)

    def _server_fault(self, watch: Watch) -> Cause | None:
        return Cause.DEAD if self._server.status() is not None else watch.server_problem

    def _lose_server(self, cause: Cause) -> None:
        """End what is left of it: processes of its models outlive a killed server."""
        if self._watch is not None:
            self._watch.close()
        self._watch = None
        self._lost_s, self._cause = time.monotonic(), cause
        self._server.kill()
        status = self._server.status()
        self._journal.add(SERVER, cause, f"ended (status {status})", ok=False)

    def _restart(self, backoff: Backoff) -> None:
        if self._stop.wait(backoff.next_s(time.monotonic())):
            return
        try:
            self._server.start()
        except (ServerError, PreflightError) as error:
            reason = str(error).splitlines()[0][:200]
            taken_s = time.monotonic() - self._lost_s
            self._journal.add(SERVER, self._cause, f"restart failed ({reason})", taken_s, ok=False)
            return
        self._watch = self._new_watch()
        self._journal.add(SERVER, self._cause, "restarted", time.monotonic() - self._lost_s)

    def _new_watch(self) -> Watch:
        return Watch(self._server.pid, self._api, self._settings, self._journal, self._metrics)

    def _end(self) -> None:
        if self._watch is None:
            return
        self._watch.close()
        start_s = time.monotonic()
        leaks = self._watch.has_recovered
        found = Drain(self._server, self._api, self._settings, self._journal, leaks).run()
        self._status = 0 if found.complete else 1
        self._journal.add(
            SERVER,
            Cause.STOPPING,
            f"{'drained' if found.complete else 'streams cut'}, {found.connections} connections "
            f"ended, server's exit status {found.status}{', killed' if found.killed else ''}",
            time.monotonic() - start_s,
            found.complete,
        )

    # --- what the probes see ---------------------------------------------------------------

    def _problems(self) -> dict[str, str]:
        watch = self._watch
        if watch is None:
            return {SERVER: "tritonserver is not running"}
        return watch.problems()

    def _own_pages(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Page | None:
        path = target.partition("?")[0]
        if path == "/livez":
            return self._livez()
        if path == "/readyz":
            return self._readyz()
        if path == "/metrics":
            up = {model: not problem for model, problem in self._problems().items()}
            return Page(200, self._metrics.page(self.is_ready, up), CONTENT_TYPE)
        return None

    def _livez(self) -> Page:
        silent_s = time.monotonic() - self._beat_s
        if silent_s > STALLED_S and not self._stop.is_set():
            return Page(503, json.dumps({"status": f"stalled for {silent_s:.0f} s"}).encode())
        return Page(200, b'{"status": "alive"}')

    def _readyz(self) -> Page:
        problems = self._problems()
        if self._stop.is_set():
            problems[SERVER] = "stopping"
        ready = not any(problems.values())
        report = {"ready": ready, "models": {m: p or "ok" for m, p in problems.items()}}
        return Page(200 if ready else 503, json.dumps(report).encode())
