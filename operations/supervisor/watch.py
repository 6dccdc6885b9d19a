"""Watches the models of one running tritonserver and brings them back."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from operations.supervisor import connections, processes
from operations.supervisor.canary import Canary, canaries
from operations.supervisor.events import SERVER, Cause
from operations.supervisor.health import Backoff, ModelHealth
from operations.supervisor.journal import Journal
from operations.supervisor.loads import Loads
from operations.supervisor.metrics import SupervisorMetrics
from operations.supervisor.processes import Instance, State
from operations.supervisor.server_health import ServerHealth
from operations.supervisor.settings import Settings
from operations.supervisor.triton_api import BUSY, NoAnswer, TritonApi

UNLOADED = "unloaded through the repository API"


class Watch:
    """Looks after one server process until closed; `tick` is called every `poll_s`.

    Canaries and recoveries run in threads, so that a model that takes long keeps no other waiting.
    """

    def __init__(
        self,
        pid: int,
        api: TritonApi,
        settings: Settings,
        journal: Journal,
        metrics: SupervisorMetrics,
    ) -> None:
        self.pid = pid
        self.server_problem: Cause | None = None
        """Why the server as a whole has to be started again, if it has to."""
        self.has_recovered = False
        """Whether a model of this server died: requests to it may be left that never end."""
        self._api, self._settings, self._journal, self._metrics = api, settings, journal, metrics
        self._canaries = {canary.model: canary for canary in canaries()}
        self._health = {model: ModelHealth(settings) for model in self._canaries}
        self._backoff = {model: Backoff(settings) for model in self._canaries}
        self._server = ServerHealth(pid, api, settings, journal)
        self._asked: set[str] = set()
        self._finder = processes.Finder(pid)
        self._known: dict[int, Instance] = {}
        self._loads = Loads(settings.load_lost_s)
        self._ended: set[Instance] = set()
        """Ended by us, not gone yet: no longer of interest."""
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
        if cause := self._server.seen(now_s):
            self.server_problem = cause
            return
        with self._lock:
            self._look_at_processes(now_s)
            due = [model for model, health in self._health.items() if self._is_due(model, health)]
            for model in due:
                self._asked.add(model)
                self._threads.submit(self._ask, self._canaries[model])
            if SERVER not in self._asked and self._server.due_s <= now_s:
                self._asked.add(SERVER)
                self._threads.submit(self._ask_server)

    def _is_due(self, model: str, health: ModelHealth) -> bool:
        return (
            not health.recovering and health.due_s <= time.monotonic() and model not in self._asked
        )

    def _look_at_processes(self, now_s: float) -> None:
        found = self._finder.find()
        if lost := self._loads.lost(found, now_s):
            self._lose_load(lost, "a process died that was just started")
        living = [one for one in found.living if one not in self._ended]
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
            elif instance.model in self._loads:  # else its canary will tell
                self._lose_load(instance.model, f"its new process is {state}")

    def _lose_load(self, model: str, reason: str) -> None:
        """A load that never ends (Triton 2.51) keeps the model away until the server's end."""
        if self.server_problem is None:
            self.server_problem = Cause.STUCK
            self._journal.add(model, Cause.STUCK, f"being loaded, but {reason}", ok=False)

    def _ask(self, canary: Canary) -> None:
        health = self._health[canary.model]
        generation = health.generation
        before: tuple[str, ...] = ()
        cause: Cause | None = None
        try:
            before = self._api.progress(canary)
            answer = self._api.ask(canary, self._settings.canary_timeout_s)
            with self._lock:
                if health.generation != generation:
                    return
                now_s = time.monotonic()
                if not answer.error or answer.status == BUSY:
                    health.answered(now_s)
                else:
                    cause = health.refused(now_s, answer.error)
            if not answer.error:
                self._metrics.canary_answered(canary.model, answer.seconds)
        except NoAnswer as error:
            cause = self._silence(canary, generation, before, error)
        finally:
            with self._lock:
                self._asked.discard(canary.model)
        if cause:
            self._conclude(canary, cause)

    def _silence(
        self,
        canary: Canary,
        generation: int,
        before: tuple[str, ...],
        error: NoAnswer,
    ) -> Cause | None:
        health = self._health[canary.model]
        progressed = self._has_progressed(canary, before, error)
        with self._lock:
            if health.generation != generation:
                return None
            return health.silent(time.monotonic(), progressed)

    def _has_progressed(self, canary: Canary, before: tuple[str, ...], error: NoAnswer) -> bool:
        """Also where that can't be told: it is the server's own fault, which `_ask_server` sees."""
        try:
            return not error.is_late or self._api.progress(canary) != before
        except NoAnswer:
            return True

    def _conclude(self, canary: Canary, cause: Cause) -> None:
        """A model that fails because one that it calls does is not to blame."""
        is_unloaded = self._is_unloaded(canary.model)
        with self._lock:
            if is_unloaded:
                self._health[canary.model].problem = UNLOADED
            elif all(self._health[model].is_up for model in canary.calls):
                self._recover(canary.model, cause)

    def _is_unloaded(self, model: str) -> bool:
        """What somebody unloaded on purpose is none of ours to load; it has no process left."""
        with self._lock:
            if any(one.model == model for one in self._known.values()):
                return False
        try:
            return model in self._api.unloaded_models()
        except NoAnswer:
            return False

    def _ask_server(self) -> None:
        cause = self._server.ask()
        with self._lock:
            self._asked.discard(SERVER)
            self.server_problem = self.server_problem or cause

    def _recover(self, model: str, cause: Cause) -> None:
        """Begin to bring back the model, and those that may wait for it for ever.

        A call of a model that answers once ends with an error when that dies; a call of a
        decoupled one never ends (Triton 2.51).
        """
        if self._closed.is_set() or self._health[model].recovering:
            return
        self.has_recovered = True
        noticed_s = time.monotonic()
        self._threads.submit(self._bring_back, self._begin({model: cause}), noticed_s)

    def _begin(self, causes: dict[str, Cause]) -> dict[str, Cause]:
        """Begin to recover these and those that call decoupled ones of them; all that do now."""
        streaming = {model for model in causes if self._canaries[model].decoupled}
        callers = [one.model for one in self._canaries.values() if one.calls & streaming]
        causes = dict.fromkeys(callers, Cause.CALLER) | causes
        with self._lock:
            idle = [model for model in self._canaries if not self._health[model].recovering]
            found = {model: causes[model] for model in idle if model in causes}
            for model, cause in found.items():
                self._health[model].begin_recovery(cause)
        return found

    def _bring_back(self, causes: dict[str, Cause], noticed_s: float) -> None:
        self._clear_away(frozenset(causes))
        if blocked := self._begin_blocked(frozenset(causes)):
            self._clear_away(frozenset(blocked))
        # Once, and not for those that only called or fed what died: it is not they who fail.
        own = [model for model, cause in causes.items() if cause is not Cause.CALLER]
        if self._closed.wait(max(map(self._wait_s, own), default=0.0)):
            return
        for model, cause in (blocked | causes).items():
            self._reload(model, cause, noticed_s)

    def _begin_blocked(self, models: frozenset[str]) -> dict[str, Cause]:
        """Those to bring back too: what streamed to a dead model may wait for it for ever."""
        called = {each for model in models for each in self._canaries[model].calls}
        streaming = [self._canaries[each] for each in called if self._canaries[each].decoupled]
        return self._begin({c.model: Cause.STUCK for c in streaming if self._is_blocked(c)})

    def _is_blocked(self, canary: Canary) -> bool:
        if self._health[canary.model].recovering:
            return False
        before: tuple[str, ...] = ()
        try:
            before = self._api.progress(canary)
            self._api.ask(canary, self._settings.suspect_s)
            return False
        except NoAnswer as error:
            return not self._has_progressed(canary, before, error)

    def _clear_away(self, models: frozenset[str]) -> None:
        """End what is left of the models' processes, and the streams that wait for them."""
        with self._lock:
            doomed = [one for one in self._known.values() if one.model in models]
            for instance in doomed:
                processes.kill(instance)
                self._ended.add(self._known.pop(instance.pid))
        if streaming := sorted(model for model in models if self._canaries[model].decoupled):
            self._end_connections(streaming[0])

    def _end_connections(self, model: str) -> None:
        """Of all clients: which of them wait for the model can't be told from outside."""
        try:
            count = connections.end_clients(self.pid, self._api.ports, self._api.own_ports)
        except (connections.Forbidden, OSError) as error:
            self._journal.add_once(model, Cause.REFUSED, f"hung streams can't be ended: {error}")
            return
        self._metrics.connections_ended(count)

    def _wait_s(self, model: str) -> float:
        with self._lock:
            return self._backoff[model].next_s(time.monotonic())

    def _reload(self, model: str, cause: Cause, noticed_s: float) -> None:
        """Until it answers, each time after a longer wait."""
        while fault := self._load_and_ask(model):
            taken_s = time.monotonic() - noticed_s
            with self._lock:
                self._health[model].problem = f"{cause}, reload failed: {fault}"
            self._journal.add(model, cause, f"reload failed ({fault})", taken_s, ok=False)
            self._clear_away(frozenset([model]))
            if self._closed.wait(self._wait_s(model)):
                return
        with self._lock:
            self._health[model].end_recovery(time.monotonic())
            self._health[model].answered(time.monotonic())
        self._metrics.recovered(model, cause)
        self._journal.add(model, cause, "reloaded", time.monotonic() - noticed_s)

    def _load_and_ask(self, model: str) -> str:
        """Empty when the model is loaded and answers; else what is wrong."""
        try:
            if fault := self._load(model):
                return fault.splitlines()[0][:200]
            answer = self._api.ask(self._canaries[model], self._settings.canary_timeout_s)
            return "" if answer.status == BUSY else answer.error
        except (NoAnswer, ValueError, KeyError, TypeError) as error:  # or it stays away for ever
            return str(error)

    def _load(self, model: str) -> str:
        """Empty, or the server's refusal. Raises what the API's `reload` raises."""
        begun_s = time.monotonic()
        try:
            with self._loads.under_way(model):
                return self._api.reload(model, self._settings.load_s)
        except NoAnswer as error:
            if error.is_late and time.monotonic() - begun_s >= self._settings.load_s:
                self._lose_load(model, f"not loaded after {self._settings.load_s:g} s")
            raise
