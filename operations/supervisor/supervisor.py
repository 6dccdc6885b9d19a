"""tritonserver kept alive: started, watched, brought back, and stopped without losing a request."""

import contextlib
import json
import logging
import threading
import time
from collections.abc import Callable

from operations.ports import port_faults
from operations.preflight import PreflightError
from operations.server_process import ServerError, ServerProcess
from operations.supervisor import processes
from operations.supervisor.canary import canaries
from operations.supervisor.drain import drain
from operations.supervisor.events import SERVER, Cause, Event, EventLog, print_line
from operations.supervisor.health_endpoint import HealthEndpoint, Page
from operations.supervisor.metrics import CONTENT_TYPE, SupervisorMetrics
from operations.supervisor.model_health import Backoff
from operations.supervisor.notify import ALIVE, READY, STOPPING, notify
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.triton_api import TritonApi
from operations.supervisor.watch import Watch

logger = logging.getLogger(__name__)

FIRST_ANSWERS_S = 30.0
"""How long the start waits for every model's first canary; it goes on without them then."""

STALLED_S = 300.0
"""Longer than the loop is ever held up: by a start of the server and the longest wait before it."""


class Supervisor:
    """`with Supervisor(server) as running:` serves until the block ends.

    `server` is not running yet. `health_port` 0 takes a free one. Raises what the server's start
    raises when the first one fails.
    """

    def __init__(
        self,
        server: ServerProcess,
        settings: SupervisorSettings | None = None,
        health_port: int = 0,
        write: Callable[[str], None] = print_line,
    ) -> None:
        self.ports = server.ports
        self._settings = settings or SupervisorSettings()
        health = {"health": health_port} if health_port else {}
        if found := list(port_faults(health, self.ports.address)):
            raise PreflightError("\n".join(found))
        server.exit_timeout_s = round(self._settings.drain_s) + 10  # ours comes first
        self._server = server
        self._api = TritonApi(self.ports, server.admin_key)
        self._log = EventLog(write)
        self._metrics = SupervisorMetrics(tuple(canary.model for canary in canaries()))
        self._endpoint = HealthEndpoint(health_port, self._page, self.ports.address)
        self._watch: Watch | None = None
        self._stop = threading.Event()
        self._beat_s = self._lost_s = time.monotonic()
        self._cause = Cause.DEAD
        self._status, self._is_closed = 0, False
        self._ended = threading.Event()
        self._watch_thread = threading.Thread(target=self._run, name="supervisor")

    @property
    def pid(self) -> int:
        """Process id of the running tritonserver."""
        return self._server.pid

    @property
    def health_port(self) -> int:
        return self._endpoint.port

    @property
    def events(self) -> list[Event]:
        """What was done so far, oldest first."""
        return self._log.events

    @property
    def is_ready(self) -> bool:
        """Whether every model answers."""
        return not self._stop.is_set() and not any(self._problems().values())

    def __enter__(self) -> "Supervisor":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until every model has answered."""
        self._endpoint.start()
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
        elif self._server.status() is not None:
            self._lose_server(self._watch, Cause.DEAD)
        elif cause := self._watch.server_problem:
            self._lose_server(self._watch, cause)
        else:
            self._watch.tick(self._beat_s)

    def _lose_server(self, watch: Watch, cause: Cause) -> None:
        """End what is left of it: processes of its models outlive a killed server."""
        watch.close()
        self._watch = None
        self._lost_s, self._cause = time.monotonic(), cause
        status = self._server.status()
        self._metrics.connections_ended(processes.open_connections(watch.pid, self.ports))
        self._server.kill()
        ended = "killed" if status is None else f"ended (status {status})"
        self._log.add(SERVER, cause, ended, ok=False)

    def _restart(self, backoff: Backoff) -> None:
        if self._stop.wait(backoff.next_s(time.monotonic())):
            return
        try:
            self._server.start()
        except (ServerError, PreflightError) as error:
            reason = str(error).splitlines()[0][:200]
            taken_s = time.monotonic() - self._lost_s
            self._log.add(SERVER, self._cause, f"restart failed ({reason})", taken_s, ok=False)
            return
        self._watch = self._new_watch()
        self._metrics.recovered(SERVER, self._cause)
        self._log.add(SERVER, self._cause, "restarted", time.monotonic() - self._lost_s)

    def _new_watch(self) -> Watch:
        return Watch(self._server.pid, self._api, self._settings, self._log, self._metrics)

    def _end(self) -> None:
        if self._watch is None:
            return
        self._watch.close()
        start_s = time.monotonic()
        found = drain(self._server, self._api, self._settings)
        self._status = 0 if found.complete else 1
        result = "drained" if found.complete else "requests cut"
        end = "server killed" if found.status is None else f"server's exit status {found.status}"
        taken_s = time.monotonic() - start_s
        self._log.add(SERVER, Cause.STOPPING, f"{result}, {end}", taken_s, found.complete)

    # --- what the probes see ---------------------------------------------------------------

    def _problems(self) -> dict[str, str]:
        watch = self._watch
        if watch is None:
            return {SERVER: "tritonserver is not running"}
        return watch.problems()

    def _page(self, path: str) -> Page | None:
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
        states = {"ready": ready, "models": {m: p or "ok" for m, p in problems.items()}}
        return Page(200 if ready else 503, json.dumps(states).encode())
