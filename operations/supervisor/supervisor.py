"""tritonserver kept alive: started, watched, brought back, and stopped without losing a request."""

import functools
import json
import logging
import threading
import time

from builders.served_models import ENSEMBLES
from operations.ports import port_faults
from operations.preflight import PreflightError
from operations.server_process import ServerError, ServerProcess
from operations.supervisor.canary import canaries
from operations.supervisor.drain import drain, unsent_bytes
from operations.supervisor.health_endpoint import (
    ALIVE,
    READY,
    STOPPING,
    HealthEndpoint,
    Page,
    notify,
)
from operations.supervisor.journal import CONTENT_TYPE, SERVER, Cause, Event, Journal
from operations.supervisor.model_health import Backoff
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
    ) -> None:
        self.ports = server.ports
        self._settings = settings or SupervisorSettings()
        health = {"health": health_port} if health_port else {}
        if found := list(port_faults(health, self.ports.address)):
            raise PreflightError("\n".join(found))
        server.exit_timeout_s = round(self._settings.drain_s) + 10  # ours comes first
        self._server = server
        self._api = TritonApi(self.ports, server.admin_key)
        self._models = [canary.model for canary in canaries()]
        self._journal = Journal(self._models)
        pages = {"/livez": self._livez, "/readyz": self._readyz, "/metrics": self._metrics}
        entries = [graph.name for graph in ENSEMBLES]
        for model in (*self._models, *entries):
            pages[f"/readyz/{model}"] = functools.partial(self._model_readyz, model)
        self._endpoint = HealthEndpoint(health_port, pages, self.ports.address)
        self._watch: Watch | None = None
        """None while the server is being started again."""
        self._tried = set[str]()
        self._backoff = Backoff(self._settings)
        self._beat_s = self._lost_s = time.monotonic()
        self._cause = Cause.DEAD
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
        """What was done so far, oldest first."""
        return list(self._journal.events)

    @property
    def is_ready(self) -> bool:
        """Whether every model answers, but for those that nothing helps; not without any."""
        problems, watch = self._model_problems(), self._watch
        broken = watch.broken() if watch else frozenset()
        away = [model for model, problem in problems.items() if problem and model not in broken]
        return not (self._stop.is_set() or away or all(problems.values()))

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
        # The thread that starts the server again must live as long as the server.
        threading.Thread(target=self._run, name="supervisor").start()
        deadline_s = time.monotonic() + FIRST_ANSWERS_S
        try:
            while not self.is_ready and time.monotonic() < deadline_s:
                time.sleep(0.05)
        except BaseException:  # interrupted: nobody will call `stop`
            self.stop()
            raise
        notify(READY)

    def stop(self) -> int:
        """Drain and end; 0 when all requests in flight were answered within `drain_s`, else 1."""
        self._stop.set()
        notify(STOPPING)
        if self._watch is None:  # being started again: there is nothing to drain
            self._server.kill()
        self.wait()
        self._endpoint.close()
        return self._status

    def wait(self) -> int:
        """Until stopped: a supervisor does not end by itself."""
        self._ended.wait()
        return self._status

    # --- the supervisor's thread ---------------------------------------------------------------

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._settings.poll_s):
                self._beat_s = time.monotonic()
                notify(ALIVE)
                try:
                    self._step()
                except Exception:  # one fault of ours must not leave the server unwatched
                    logger.exception("the supervisor failed at a step; going on")
            self._end()
        finally:
            self._ended.set()

    def _step(self) -> None:
        if self._watch is None:
            self._restart()
        elif self._server.status() is not None:
            self._lose_server(self._watch, Cause.DEAD)
        elif cause := self._watch.server_problem:
            self._lose_server(self._watch, cause)
        else:
            self._watch.tick(self._beat_s)

    def _lose_server(self, watch: Watch, cause: Cause) -> None:
        """End what is left of it: processes of its models outlive a killed server."""
        watch.close()
        self._lost_s, self._cause = time.monotonic(), cause
        status = self._server.status()
        self._journal.connections_ended.inc(len(unsent_bytes(self.ports)))
        if cause is Cause.FULL:  # it still works
            complete, _ = drain(self._server, self._api, self._settings)
            ended = "drained" if complete else "requests cut"
        else:
            ended = "killed" if status is None else f"ended (status {status})"
        self._watch = None
        self._server.kill()
        self._journal.add(SERVER, cause, ended, ok=False)

    def _restart(self) -> None:
        if self._stop.wait(self._backoff.next_s(time.monotonic())):
            return
        try:
            self._server.start()
        except (ServerError, PreflightError) as error:
            action = f"restart failed ({str(error).splitlines()[0][:200]})"
            taken_s = time.monotonic() - self._lost_s
            self._journal.add(SERVER, self._cause, action, taken_s, ok=False)
            return
        self._watch = self._new_watch()
        self._journal.recovered(SERVER, self._cause, "restarted", time.monotonic() - self._lost_s)

    def _new_watch(self) -> Watch:
        pid = self._server.pid
        return Watch(pid, self._api, self._settings, self._journal, self._tried)

    def _end(self) -> None:
        if self._watch is None:
            return
        self._watch.close()
        start_s = time.monotonic()
        complete, status = drain(self._server, self._api, self._settings)
        self._status = 0 if complete else 1
        result = "drained" if complete else "requests cut"
        end = "server killed" if status is None else f"server's exit status {status}"
        taken_s = time.monotonic() - start_s
        self._journal.add(SERVER, Cause.STOPPING, f"{result}, {end}", taken_s, complete)

    # --- what the probes see -------------------------------------------------------------------

    def problems(self) -> dict[str, str]:
        """Every model and graph with what is wrong with it; empty text: nothing."""
        found = self._model_problems()
        for graph in ENSEMBLES:
            names = dict.fromkeys(step.model.name for step in graph.steps)
            away = [name for name in names if found.get(name)]
            found[graph.name] = f"calls {', '.join(away)}" if away else ""
        return found

    def _model_problems(self) -> dict[str, str]:
        """Those of models that have processes."""
        if (watch := self._watch) is None:
            return dict.fromkeys(self._models, "tritonserver is not running")
        return watch.problems()

    def _livez(self) -> Page:
        silent_s = time.monotonic() - self._beat_s
        if silent_s > STALLED_S and not self._stop.is_set():
            return Page(503, json.dumps({"status": f"stalled for {silent_s:.0f} s"}).encode())
        return Page(200, b'{"status": "alive"}')

    def _readyz(self) -> Page:
        stopping = {SERVER: "stopping"} if self._stop.is_set() else {}
        problems = self.problems() | stopping
        states = {model: problem or "ok" for model, problem in problems.items()}
        ready = self.is_ready
        return Page(200 if ready else 503, json.dumps({"ready": ready, "models": states}).encode())

    def _model_readyz(self, model: str) -> Page:
        problem = "stopping" if self._stop.is_set() else self.problems()[model]
        body = {"ready": not problem, "model": problem or "ok"}
        return Page(503 if problem else 200, json.dumps(body).encode())

    def _metrics(self) -> Page:
        is_up = {model: not problem for model, problem in self.problems().items()}
        return Page(200, self._journal.metrics_page(self.is_ready, is_up), CONTENT_TYPE)
