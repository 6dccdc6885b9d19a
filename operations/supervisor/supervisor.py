"""Keeps tritonserver alive: starts, watches, recovers, and stops it without losing a request."""

import functools
import logging
import threading
import time

from ensembles.served_models import ENSEMBLES
from operations.drain import drain, unsent_bytes
from operations.ports import port_faults
from operations.preflight import PreflightError, require_none
from operations.supervisor.canary import canaries
from operations.supervisor.health_endpoint import HealthEndpoint, Page, probe
from operations.supervisor.journal import CONTENT_TYPE, SERVER, Cause, Event, Journal
from operations.supervisor.model_health import Backoff
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.watch import Watch
from operations.systemd import Notice, notify
from operations.triton_process import ServerError, TritonProcess

logger = logging.getLogger(__name__)

DRAINED = "drained"
FIRST_ANSWERS_S = 30.0
"""How long the start waits for every model's first canary; then it continues without them."""

STALLED_S = 300.0
"""A loop that was silent for longer is stuck: a start of the server and the longest wait before it
take less."""


class Supervisor:
    """`with Supervisor(server) as running:` serves until the block ends.

    It watches the models that the server's repository has, which may be a part of all.
    `server` must not be running yet. `health_port` 0 takes a free one. If the server's first start
    fails, its error is raised.
    """

    def __init__(
        self,
        server: TritonProcess,
        settings: SupervisorSettings | None = None,
        health_port: int = 0,
    ) -> None:
        self.ports = server.ports
        self._settings = settings or SupervisorSettings()
        health = {"health": health_port} if health_port else {}
        require_none(port_faults(health, self.ports.address))
        server.exit_timeout_s = round(self._settings.drain_s) + 10  # the drain ends first
        self._server = server
        self._models = [canary.model for canary in canaries(server.repository)]
        self._graphs = [g for g in ENSEMBLES if (server.repository / g.name).is_dir()]
        self._journal = Journal(self._models)
        pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics}
        for model in (*self._models, *(graph.name for graph in self._graphs)):
            pages[f"/readyz/{model}"] = functools.partial(self._model_readyz, model)
        self._endpoint = HealthEndpoint(health_port, pages, self.ports.address)
        self._watch: Watch | None = None
        """None while the server is being restarted."""
        self._lost = "tritonserver is not running"
        """Why there is no server, and why it can't be restarted."""
        self._tried = set[str]()
        self._backoff = Backoff(self._settings)
        self._beat_s = time.monotonic()
        self._status = 0
        self._stop, self._ended = threading.Event(), threading.Event()

    @property
    def pid(self) -> int:
        """Process id of the running tritonserver."""
        return self._server.pid

    @property
    def health_port(self) -> int:
        return self._endpoint.server_port

    @property
    def events(self) -> list[Event]:
        """What the supervisor has done so far, oldest first."""
        return list(self._journal.events)

    @property
    def is_ready(self) -> bool:
        """Whether requests can be sent to this server."""
        watch = self._watch
        return watch is not None and watch.is_ready and not self._stop.is_set()

    def __enter__(self) -> "Supervisor":
        """Start the server and wait until every model has answered."""
        self._endpoint.start()
        try:
            self._start_server()
        except BaseException:
            self._endpoint.close()
            raise
        # The thread that restarts the server must live as long as the server.
        threading.Thread(target=self._run, name="supervisor").start()
        deadline_s = time.monotonic() + FIRST_ANSWERS_S
        try:
            while not self.is_ready and time.monotonic() < deadline_s:
                time.sleep(0.05)
        except BaseException:  # interrupted: nobody will call `stop`
            self.stop()
            raise
        notify(Notice.READY)
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> int:
        """Drain and end; 0 when all requests in flight were answered within `drain_s`, else 1."""
        self._stop.set()
        notify(Notice.STOPPING)
        if self._watch is None:  # being restarted: there is nothing to drain
            self._server.kill()
        self.wait()
        self._endpoint.close()
        return self._status

    def wait(self) -> int:
        """Wait until it is stopped: a supervisor does not end by itself."""
        self._ended.wait()
        return self._status

    # --- the supervisor's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._settings.poll_s):
                try:
                    self._step()
                except Exception:  # a bug must not leave the server unwatched
                    logger.exception("the supervisor failed at a step; going on")
            if self._watch:
                self._end(self._watch)
        finally:
            self._ended.set()

    def _step(self) -> None:
        self._beat()
        watch = self._watch
        if watch is None:  # after such a bug
            self._restart(Cause.DEAD, self._beat_s)
        elif cause := watch.server_problem if self._server.status() is None else Cause.DEAD:
            self._lose_server(watch, cause)
            self._restart(cause, self._beat_s)
        else:
            watch.tick(self._beat_s)

    def _beat(self) -> None:
        self._beat_s = time.monotonic()
        notify(Notice.ALIVE)

    def _lose_server(self, watch: Watch, cause: Cause) -> None:
        """End the rest of the server: processes of its models outlive a killed server."""
        watch.close()
        status = self._server.status()
        self._journal.connections_ended.inc(len(unsent_bytes(self.ports)))
        if cause is Cause.FULL:  # it still works
            ended, _ = self._drain()
        else:
            ended = "killed" if status is None else f"ended (status {status})"
        self._watch, self._lost = None, "tritonserver is not running"
        self._server.kill()
        self._journal.add(SERVER, cause, ended)

    def _restart(self, cause: Cause, lost_s: float) -> None:
        """Try to start the server until it starts or this is stopped, with growing waits."""
        while not self._stop.wait(self._backoff.next_s(time.monotonic())):
            self._beat()
            try:
                self._start_server()
            except (ServerError, PreflightError) as error:
                failure = f"restart failed ({str(error).splitlines()[0][:200]})"
                self._lost = f"tritonserver is not running: {failure}"
                self._journal.add(SERVER, cause, failure, time.monotonic() - lost_s)
            else:
                self._journal.recovered(SERVER, cause, "restarted", time.monotonic() - lost_s)
                return

    def _start_server(self) -> None:
        self._server.start()
        self._watch = Watch(self._server, self._settings, self._journal, self._tried)

    def _end(self, watch: Watch) -> None:
        watch.close()
        start_s = time.monotonic()
        result, status = self._drain()
        end = "server killed" if status is None else f"server's exit status {status}"
        self._status = int(result != DRAINED)
        self._journal.add(SERVER, Cause.STOPPING, f"{result}, {end}", time.monotonic() - start_s)

    def _drain(self) -> tuple[str, int | None]:
        """Drain; returns how it went, and tritonserver's exit status."""
        complete, status = drain(self._server, self._settings.drain_s, self._settings.idle_s)
        return DRAINED if complete else "requests cut", status

    # --- what the probes see -------------------------------------------------------------------

    def problems(self) -> dict[str, str]:
        """What is wrong with every model and graph; an empty text means nothing."""
        watch = self._watch
        found = watch.problems() if watch else dict.fromkeys(self._models, self._lost)
        for graph in self._graphs:
            away = [name for name in found if name in graph.calls and found[name]]
            found[graph.name] = f"calls {', '.join(away)}" if away else ""
        return found

    def _livez(self) -> Page:
        silent_s = time.monotonic() - self._beat_s
        is_alive = silent_s <= STALLED_S or self._stop.is_set()
        return probe(is_alive, {"status": "alive" if is_alive else f"stalled for {silent_s:.0f} s"})

    def _readyz(self) -> Page:
        stopping = {SERVER: "stopping"} if self._stop.is_set() else {}
        states = {model: problem or "ok" for model, problem in (self.problems() | stopping).items()}
        ready = self.is_ready
        return probe(ready, {"ready": ready, "models": states})

    def _model_readyz(self, model: str) -> Page:
        problem = "stopping" if self._stop.is_set() else self.problems()[model]
        return probe(not problem, {"ready": not problem, "model": problem or "ok"})

    def _metrics(self) -> Page:
        is_up = {model: not problem for model, problem in self.problems().items()}
        return Page(200, self._journal.metrics_page(self.is_ready, is_up), CONTENT_TYPE)
