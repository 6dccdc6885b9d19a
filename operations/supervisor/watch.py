"""Watches the models of one running tritonserver, reloads plain ones, gives the server up for more.

A request to a plain model that died gets an error. A stream of a decoupled one gets nothing, not
even an end (Triton 2.51), and its callers wait for ever: only the server's end ends that.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from operations.supervisor import processes
from operations.supervisor.canary import Canary, canaries
from operations.supervisor.events import SERVER, Cause, EventLog
from operations.supervisor.metrics import SupervisorMetrics
from operations.supervisor.model_health import Backoff, ModelHealth
from operations.supervisor.processes import Found, Instance, State
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.triton_api import NoAnswer, TritonApi

UNLOADED = "unloaded through the repository API"


class Watch:
    """Looks after one server process until closed; `tick` is called every `poll_s`.

    Canaries and reloads run in threads, so that a model that takes long keeps no other waiting.
    """

    def __init__(
        self,
        pid: int,
        api: TritonApi,
        settings: SupervisorSettings,
        log: EventLog,
        metrics: SupervisorMetrics,
    ) -> None:
        self.pid = pid
        self.server_problem: Cause | None = None
        """Why the server as a whole has to be started again, if it has to."""
        self._api, self._settings, self._log, self._metrics = api, settings, log, metrics
        self._canaries = {canary.model: canary for canary in canaries()}
        self._health = {model: ModelHealth(settings) for model in self._canaries}
        self._backoff = {model: Backoff(settings) for model in self._canaries}
        self._server = ModelHealth(settings)
        self._server_heard_s = time.monotonic()
        self._asked: set[str] = set()
        self._known: dict[int, Instance] = {}
        self._killed: set[Instance] = set()
        """Killed by us, not gone yet: no longer of interest."""
        self._loading: set[str] = set()
        self._dead_before_loads: set[int] = set()
        self._lost_since_s: float | None = None
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(2 * len(self._canaries) + 1, "supervise")

    def problems(self) -> dict[str, str]:
        """Every model with what is wrong with it; empty text: nothing."""
        with self._lock:
            return {model: health.problem for model, health in self._health.items()}

    def close(self) -> None:
        """Let go; what is under way ends by itself."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def tick(self, now_s: float) -> None:
        """One look at everything."""
        state = processes.state(self.pid)
        if state is State.GONE:  # its launcher (mpirun) may live on
            state = State.DEAD
        if cause := self._server.seen(now_s, self.pid, state):
            self._give_up(SERVER, cause, self._server.problem)
            return
        found = processes.find(self.pid)
        with self._lock:
            self._look_at_loads(found, now_s)
            self._look_at_processes(found, now_s)
            for model, health in self._health.items():
                if not health.recovering:
                    self._ask_if_due(model, health, self._ask, self._canaries[model])
            self._ask_if_due(SERVER, self._server, self._ask_server)

    def _ask_if_due(self, name: str, health: ModelHealth, ask: object, *arguments: object) -> None:
        if name not in self._asked and health.due_s <= time.monotonic():
            self._asked.add(name)
            self._threads.submit(ask, *arguments)  # type: ignore[arg-type]

    def _give_up(self, model: str, cause: Cause, reason: str) -> None:
        """The server has to be started again."""
        if self.server_problem is None and not self._closed.is_set():
            self.server_problem = cause
            self._log.add(model, cause, f"{reason}; the server is started again", ok=False)

    # --- processes -----------------------------------------------------------------------------

    def _look_at_loads(self, found: Found, now_s: float) -> None:
        """Triton waits for ever for a process that dies while its model is being loaded."""
        if not (self._loading and found.dead - self._dead_before_loads):
            self._lost_since_s = None
        elif self._lost_since_s is None:
            self._lost_since_s = now_s
        elif now_s - self._lost_since_s >= self._settings.load_lost_s:
            self._give_up(min(self._loading), Cause.STUCK, "its new process died while loading")

    def _look_at_processes(self, found: Found, now_s: float) -> None:
        living = [one for one in found.living if one not in self._killed]
        self._known.update({one.pid: one for one in living})
        newest = {one.name: one.pid for one in living}
        for pid, instance in list(self._known.items()):
            health, state = self._health.get(instance.model), processes.state(pid)
            is_replaced = newest.get(instance.name, pid) != pid  # by Triton: somebody reloads it
            if state is State.GONE or is_replaced:
                del self._known[pid]
            if health is None or is_replaced or not (cause := health.seen(now_s, pid, state)):
                continue
            if not health.recovering:
                self._recover(instance.model, cause)
            elif instance.model in self._loading:  # else its canary will tell
                self._give_up(instance.model, Cause.STUCK, f"its new process is {state}")

    # --- canaries ------------------------------------------------------------------------------

    def _ask_server(self) -> None:
        is_live = self._api.is_live()
        now_s = time.monotonic()
        with self._lock:
            self._asked.discard(SERVER)
            if is_live:
                self._server_heard_s = now_s
                self._server.answered(now_s)
                return
            self._server.due_s = now_s + self._settings.canary_retry_s
        if now_s - self._server_heard_s > self._settings.canary_timeout_s:
            self._give_up(SERVER, Cause.STUCK, "does not answer its health check")

    def _ask(self, canary: Canary) -> None:
        generation = self._health[canary.model].generation
        try:
            cause = self._cause(canary, generation)
        finally:
            with self._lock:
                self._asked.discard(canary.model)
        if cause:
            self._conclude(canary, cause, generation)

    def _cause(self, canary: Canary, generation: int) -> Cause | None:
        """Ask, and say what is wrong with the model, if it is time to do something about it."""
        health = self._health[canary.model]
        called = self._called(canary)
        before: object = None
        try:
            before = self._api.progress(canary)
            answer = self._api.ask(canary, self._settings.canary_timeout_s)
        except NoAnswer as error:
            progressed = not error.is_late or self._has_progressed(canary, before)
            with self._lock:
                if health.generation != generation:
                    return None
                return health.silent(time.monotonic(), progressed)
        with self._lock:
            if health.generation != generation:
                return None
            if answer.error and not answer.is_busy:
                own = called is not None and called == self._called(canary)
                return health.refused(time.monotonic(), answer.error, own)
            health.answered(time.monotonic())
        if not answer.error:
            self._metrics.canary_answered(canary.model, answer.seconds)
        return None

    def _called(self, canary: Canary) -> list[int] | None:
        """The generations of the models that it calls; None while one of them is down."""
        with self._lock:
            called = [self._health[model] for model in canary.calls]
        return [one.generation for one in called] if all(one.is_up for one in called) else None

    def _has_progressed(self, canary: Canary, before: object) -> bool:
        """Also where that can't be told: the server's own health check sees that."""
        try:
            return self._api.progress(canary) != before
        except NoAnswer:
            return True

    def _conclude(self, canary: Canary, cause: Cause, generation: int) -> None:
        """A model that fails because one that it calls does is not to blame."""
        is_unloaded = self._is_unloaded(canary.model)
        with self._lock:
            health = self._health[canary.model]
            if health.generation != generation:
                return
            if is_unloaded:
                health.problem = UNLOADED
            elif all(self._health[model].is_up for model in canary.calls):
                self._recover(canary.model, cause)

    def _is_unloaded(self, model: str) -> bool:
        """What somebody unloaded on purpose is not ours to load; it has no process left."""
        with self._lock:
            if any(one.model == model for one in self._known.values()):
                return False
        try:
            return model in self._api.unloaded_models()
        except NoAnswer:
            return False

    # --- recovery ------------------------------------------------------------------------------

    def _recover(self, model: str, cause: Cause) -> None:
        health = self._health[model]
        if self._closed.is_set() or health.recovering:
            return
        reason = health.problem
        health.begin_recovery(cause)
        noticed_s = time.monotonic()
        wait_s = self._backoff[model].next_s(noticed_s)
        if self._canaries[model].decoupled:
            self._give_up(model, cause, reason)
        elif self._backoff[model].count > self._settings.reloads:
            self._give_up(model, cause, f"{reason}, after {self._settings.reloads} reloads")
        else:
            self._threads.submit(self._reload, model, cause, noticed_s, wait_s)

    def _reload(self, model: str, cause: Cause, noticed_s: float, wait_s: float) -> None:
        """Until it answers, each time after a longer wait."""
        self._kill(model)
        while not self._closed.wait(wait_s) and (fault := self._load_and_ask(model)):
            taken_s = time.monotonic() - noticed_s
            with self._lock:
                self._health[model].problem = f"{cause}, reload failed: {fault}"
            self._log.add(model, cause, f"reload failed ({fault})", taken_s, ok=False)
            self._kill(model)
            wait_s = self._backoff[model].next_s(time.monotonic())
        if self._closed.is_set():
            return
        with self._lock:
            self._health[model].end_recovery(time.monotonic())
        self._metrics.recovered(model, cause)
        self._log.add(model, cause, "reloaded", time.monotonic() - noticed_s)

    def _kill(self, model: str) -> None:
        """End what is left of the model's processes."""
        with self._lock:
            for instance in [one for one in self._known.values() if one.model == model]:
                processes.kill(instance)
                self._killed.add(self._known.pop(instance.pid))
                self._dead_before_loads.add(instance.pid)

    def _load_and_ask(self, model: str) -> str:
        """Empty when the model is loaded and answers; else what is wrong."""
        try:
            if fault := self._load(model):
                return fault.splitlines()[0][:200]
            answer = self._api.ask(self._canaries[model], self._settings.canary_timeout_s)
            return "" if answer.is_busy else answer.error
        except (NoAnswer, ValueError, KeyError, TypeError) as error:  # or it stays away for ever
            return str(error)

    def _load(self, model: str) -> str:
        """Empty, or the server's refusal."""
        with self._lock:
            self._dead_before_loads |= processes.find(self.pid).dead
            self._loading.add(model)
        begun_s = time.monotonic()
        try:
            return self._api.reload(model, self._settings.load_s)
        except NoAnswer as error:
            if error.is_late and time.monotonic() - begun_s >= self._settings.load_s:
                self._give_up(model, Cause.STUCK, f"not loaded after {self._settings.load_s:g} s")
            raise
        finally:
            with self._lock:
                self._loading.discard(model)
