"""Watches the models of one running tritonserver, reloads plain ones, gives the server up for more.

A request to a plain model that died gets an error. A stream of a decoupled one gets nothing, not
even an end (Triton 2.51), and its callers wait for ever: only the server's end ends that.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from operations.supervisor import processes
from operations.supervisor.canary import SERVER_CANARY, Canary, canaries
from operations.supervisor.drain import unsent_bytes
from operations.supervisor.journal import SERVER, Cause, Journal
from operations.supervisor.model_health import Backoff, ModelHealth
from operations.supervisor.processes import Instance, State
from operations.supervisor.settings import SupervisorSettings
from operations.supervisor.triton_api import NoAnswer, TritonApi

UNLOADED = "unloaded through the repository API"


class Watch:
    """Looks after one server process until closed; `tick` is called every `poll_s`.

    The server itself is watched as a model that can't be reloaded. Canaries and reloads run in
    threads, so that a model that takes long keeps no other waiting.
    """

    def __init__(
        self,
        pid: int,
        api: TritonApi,
        settings: SupervisorSettings,
        journal: Journal,
        tried: set[str],
    ) -> None:
        """`tried` are models that were brought back and did not stay well since; the caller's, as
        it outlives the server."""
        self.pid = pid
        self.server_problem: Cause | None = None
        """Why the server as a whole has to be started again, if it has to."""
        self._api, self._settings, self._journal = api, settings, journal
        self._tried = tried
        self._canaries = {canary.model: canary for canary in (*canaries(), SERVER_CANARY)}
        self._health = {
            model: ModelHealth(settings, recovered_s=time.monotonic()) for model in self._canaries
        }
        self._backoff = {model: Backoff(settings) for model in self._canaries}
        self._newest = {SERVER: Instance(SERVER, SERVER, pid, "")}
        """By name: Triton gives a new process the name of the one that it replaces."""
        self._loading: set[str] = set()
        self._dead_before_loads: set[int] = set()
        self._lost_since_s: float | None = None
        self._no_room = ""
        """Why no client can connect, while that is so."""
        self._lock = threading.RLock()
        self._closed = threading.Event()
        self._threads = ThreadPoolExecutor(2 * len(self._canaries), "supervise")

    def problems(self) -> dict[str, str]:
        """Every model with what is wrong with it; empty text: nothing."""
        health = self._health.items()
        server = self._no_room or ("tritonserver is started again" if self.server_problem else "")
        return {model: server or one.problem for model, one in health if model != SERVER}

    def broken(self) -> frozenset[str]:
        """Models that are left as they are, and the graphs that call them."""
        return frozenset(model for model, health in self._health.items() if health.is_broken)

    def close(self) -> None:
        """Let go; what is under way ends by itself."""
        self._closed.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def tick(self, now_s: float) -> None:
        """One look at everything."""
        found = processes.find(self.pid)
        with self._lock:
            self._look_at_files()
            self._look_at_loads(found.dead, now_s)
            self._newest |= {one.name: one for one in found.living}
            for instance in list(self._newest.values()):
                self._look_at_process(instance, now_s)
            for model, health in self._health.items():
                if not health.recovering and health.due_s <= now_s:
                    health.due_s = now_s + self._settings.asked_again_s
                    self._threads.submit(self._ask, self._canaries[model])

    def _give_up(self, model: str, cause: Cause, reason: str) -> None:
        """The server has to be started again."""
        if self.server_problem is None and not self._closed.is_set():
            self.server_problem = cause
            self._journal.add(model, cause, f"{reason}; the server is started again", ok=False)

    # --- processes -----------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        """Triton (2.51) keeps the connection of a client that cancelled, or died, after a request
        on its stream was refused by Triton itself: a wrong type, shape or missing input.
        """
        used, limit = processes.open_files(self.pid)
        room = limit - used
        full = room < self._settings.spare_files
        self._no_room = f"tritonserver has {used} of {limit} files open" if full else ""
        most = limit * self._settings.lost_share
        if used > most and (lost := used - len(unsent_bytes(self._api.ports))) > most:
            reason = f"{lost} of {limit} open files, more than its clients hold"
            self._give_up(SERVER, Cause.FULL, reason)

    def _look_at_loads(self, dead: frozenset[int], now_s: float) -> None:
        """Triton waits for ever for a process that dies while its model is being loaded.

        A load that fails leaves a dead process, too, until it ends.
        """
        if not self._loading:
            self._dead_before_loads |= dead
        if not (self._loading and dead - self._dead_before_loads):
            self._lost_since_s = None
        elif self._lost_since_s is None:
            self._lost_since_s = now_s
        elif now_s - self._lost_since_s >= self._settings.load_lost_s:
            self._give_up(min(self._loading), Cause.STUCK, "its new process died while loading")

    def _look_at_process(self, instance: Instance, now_s: float) -> None:
        """While a model is brought back, its load and its canary tell."""
        health, state = self._health.get(instance.model), processes.state(instance.pid)
        if state is State.GONE:
            if instance.model == SERVER:  # below its launcher (mpirun), which may live on
                state = State.DEAD
            else:
                del self._newest[instance.name]
        if health is None or health.recovering:
            return
        if cause := health.seen(now_s, instance.pid, state):
            self._recover(instance.model, cause)

    # --- canaries ------------------------------------------------------------------------------

    def _ask(self, canary: Canary) -> None:
        """What was reloaded meanwhile, or calls what was, says nothing about itself."""
        asked_s = time.monotonic()
        health, called = self._health[canary.model], [self._health[one] for one in canary.calls]
        is_own = all(one.is_up for one in called)
        problem, cause = self._fault(canary)
        with self._lock:
            if health.recovering or health.recovered_s > asked_s:
                return
            is_own &= all(one.is_up and one.recovered_s <= asked_s for one in called)
            was_broken = health.is_broken
            cause = health.heard(time.monotonic(), problem, cause if is_own else None)
            if problem and (broken := self.broken() & canary.calls):
                health.problem, health.is_broken = f"calls {', '.join(sorted(broken))}", True
        if cause is Cause.FAILING and self._is_unloaded(canary.model):
            health.problem, health.is_broken = UNLOADED, True  # on purpose: not ours to load
        elif cause:
            with self._lock:
                self._recover(canary.model, cause)
        elif not problem:
            self._hear_well(canary.model, was_broken)

    def _hear_well(self, model: str, was_broken: bool) -> None:
        if was_broken:
            self._journal.add(model, Cause.FAILING, "answers again")
        if time.monotonic() - self._health[model].recovered_s > self._settings.stable_s:
            self._tried.discard(model)

    def _fault(self, canary: Canary) -> tuple[str, Cause | None]:
        """Ask, and say what is wrong; a full queue is not, nor is a late answer of a busy model."""
        progress: object = None
        if self._no_room:
            return self._no_room, None
        try:
            progress = self._api.progress(canary)
            answer = self._api.ask(canary, self._settings.canary_timeout_s)
        except NoAnswer as error:
            if not error.is_late:
                return str(error), Cause.FAILING if canary.model == SERVER else None
            is_busy = self._has_progressed(canary, progress)
            return ("", None) if is_busy else ("no answer to its canary, no progress", Cause.STUCK)
        if answer.error and not answer.is_busy:
            return f"answers its canary with an error: {answer.error}", Cause.FAILING
        if not answer.error and canary.model != SERVER:
            self._journal.canary_s.labels(canary.model).observe(answer.seconds)
        return "", None

    def _has_progressed(self, canary: Canary, before: object) -> bool:
        """Also where that can't be told: the server's own health check sees that."""
        try:
            return self._api.progress(canary) != before
        except NoAnswer:
            return True

    def _is_unloaded(self, model: str) -> bool:
        try:
            return model in self._api.unloaded_models()
        except NoAnswer:
            return False

    # --- recovery ------------------------------------------------------------------------------

    def _recover(self, model: str, cause: Cause) -> None:
        """Reload a plain model, start the server again for another; a model that still answers
        with errors after that is left: it has them from its files, which stay as they are.
        """
        health, backoff = self._health[model], self._backoff[model]
        if self._closed.is_set() or health.recovering:
            return
        was_tried = model in self._tried
        if cause is Cause.FAILING and was_tried and model != SERVER:
            self._leave(model, health.problem)
            return
        reason, noticed_s = health.problem, time.monotonic()
        wait_s = backoff.next_s(noticed_s)
        is_often = backoff.count > self._settings.reloads
        health.begin_recovery(cause, is_broken=is_often)
        if cause is Cause.FAILING or is_often:
            self._tried.add(model)
        if model == SERVER or self._canaries[model].decoupled:
            self._give_up(model, cause, reason)
        elif is_often and not was_tried:
            self._give_up(model, cause, f"{reason}, after {self._settings.reloads} reloads")
        else:
            self._threads.submit(self._reload, model, cause, noticed_s, wait_s)

    def _leave(self, model: str, problem: str) -> None:
        """Said once; its canary goes on."""
        health = self._health[model]
        if not health.is_broken:
            said = f"{problem}, also after it was brought back; left as it is"
            self._journal.add(model, Cause.FAILING, said, ok=False)
        health.problem, health.is_broken = problem, True

    def _reload(self, model: str, cause: Cause, noticed_s: float, wait_s: float) -> None:
        """Until it can be loaded and asked, each time after a longer wait."""
        health, said = self._health[model], ""
        self._kill(model)
        while not self._closed.wait(wait_s):
            problem, kind = self._load_and_ask(model)
            if not problem or kind is Cause.FAILING:
                self._end_reload(model, cause, noticed_s, problem)
                return
            health.problem = f"{cause}, reload failed: {problem}"
            health.is_broken = self._backoff[model].count >= self._settings.reloads
            if problem != said:
                taken_s = time.monotonic() - noticed_s
                self._journal.add(model, cause, f"reload failed ({problem})", taken_s, ok=False)
            said = problem
            self._kill(model)
            wait_s = self._backoff[model].next_s(time.monotonic())

    def _end_reload(self, model: str, cause: Cause, noticed_s: float, problem: str) -> None:
        with self._lock:
            self._health[model].end_recovery(time.monotonic())
            if problem:
                self._leave(model, problem)
        if not problem:
            self._journal.recovered(model, cause, "reloaded", time.monotonic() - noticed_s)

    def _kill(self, model: str) -> None:
        """End what is left of the model's processes."""
        with self._lock:
            for instance in [one for one in self._newest.values() if one.model == model]:
                processes.kill(instance)
                self._dead_before_loads.add(self._newest.pop(instance.name).pid)

    def _load_and_ask(self, model: str) -> tuple[str, Cause | None]:
        """Nothing when the model is loaded and answers; else what is wrong, and what that is."""
        try:
            refusal = self._load(model)
        except NoAnswer as error:
            return str(error), None
        if refusal:
            return refusal.splitlines()[0][:200], None
        return self._fault(self._canaries[model])

    def _load(self, model: str) -> str:
        """Empty, or the server's refusal."""
        begun_s = time.monotonic()
        with self._lock:
            self._loading.add(model)
        try:
            return self._api.reload(model, self._settings.load_s)
        except NoAnswer as error:
            if error.is_late and time.monotonic() - begun_s >= self._settings.load_s:
                self._give_up(model, Cause.STUCK, f"not loaded after {self._settings.load_s:g} s")
            raise
        finally:
            with self._lock:
                self._loading.discard(model)
