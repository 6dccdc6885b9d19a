"""Watches the models of one running tritonserver; reloads plain ones, or asks for a restart.

A request to a plain (not decoupled) model that died gets an error. A stream of a decoupled model
gets nothing, not even an end (Triton 2.51), and its callers wait until the server ends.
"""

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor

from ensembles.metrics import LARGE_REQUESTS
from operations import model_processes
from operations.drain import unsent_bytes
from operations.model_processes import Instance, State
from operations.supervisor.canary import SERVER_CANARY, Canary, canaries
from operations.supervisor.journal import SERVER, Cause, Journal
from operations.supervisor.model_health import UNLOADED, Backoff, Finding, ModelHealth
from operations.supervisor.settings import SupervisorSettings
from operations.triton_api import NoAnswer
from operations.triton_process import TritonProcess


class Watch:
    """Watches one server process until closed; `tick` is called every `poll_s`.

    The server itself is watched as a model that can't be reloaded. Canaries and reloads run in
    threads, so that a slow model delays no other. They change nothing here: the next tick reads
    their results.
    """

    def __init__(
        self, server: TritonProcess, settings: SupervisorSettings, journal: Journal, tried: set[str]
    ) -> None:
        """`tried` are models that were recovered and have not stayed well since. The caller keeps
        the set, because it outlives the server."""
        self.pid, self._api = server.pid, server.api
        self.server_problem: Cause | None = None
        """Why the whole server must be restarted; None if it need not be."""
        self._settings, self._journal, self._tried = settings, journal, tried
        now_s = time.monotonic()
        self._health = {
            canary.model: ModelHealth(canary, settings, Backoff(settings), recovered_s=now_s)
            for canary in (*canaries(server.repository), SERVER_CANARY)
        }
        self._newest = {SERVER: Instance(SERVER, SERVER, self.pid, "")}
        """Instances by name: Triton gives a new process the name of the one that it replaces."""
        self._dead_before_loads: set[int] = set()
        self._lost_since_s = now_s
        self._no_room = ""
        """Why no client can connect now; empty if clients can."""
        self._threads = ThreadPoolExecutor(2 * len(self._health), "supervise")

    @property
    def is_ready(self) -> bool:
        """Whether every model answers, except broken ones, and at least one does."""
        problems, broken = self.problems(), self._broken()
        return not all(problems.values()) and all(
            model in broken for model, problem in problems.items() if problem
        )

    def problems(self) -> dict[str, str]:
        """What is wrong with every model; an empty text means nothing."""
        health = self._health.items()
        server = self._no_room or ("tritonserver is started again" if self.server_problem else "")
        return {model: server or one.problem for model, one in health if model != SERVER}

    def _broken(self) -> frozenset[str]:
        """Broken models, which are left as they are, and the graphs that call them."""
        return frozenset(model for model, health in self._health.items() if health.is_broken)

    def close(self) -> None:
        """Stop watching; running canaries and reloads end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def tick(self, now_s: float) -> None:
        """Look at everything once."""
        found = model_processes.find(self.pid)
        self._look_at_files()
        self._look_at_loads(found.dead, now_s)
        self._newest |= {one.name: one for one in found.living}
        for instance in list(self._newest.values()):
            self._look_at_process(instance, now_s)
        for health in self._health.values():
            if health.job and health.job.done():
                job, health.job = health.job, None
                self._hear(health, job.result(), now_s)
            if health.job is None and health.due_s <= now_s:
                ask = self._reload if health.cause else self._ask
                health.begin_job(now_s, self._threads.submit(ask, health.canary))

    def _give_up(self, model: str, cause: Cause, reason: str) -> None:
        """Ask for a restart of the server."""
        if self.server_problem is None:
            self.server_problem = cause
            self._journal.add(model, cause, f"{reason}; the server is started again")

    # --- processes -----------------------------------------------------------------------------

    def _look_at_files(self) -> None:
        """Restart if connections of gone clients take too many files. Triton (2.51) keeps the one
        of a client that cancelled, or died, after Triton itself refused a request on its stream.
        """
        used, limit = model_processes.open_files(self.pid)
        full = limit - used < self._settings.spare_files
        self._no_room = f"tritonserver has {used} of {limit} files open" if full else ""
        most = limit * self._settings.lost_share
        if used > most and (lost := used - len(unsent_bytes(self._api.ports))) > most:
            reason = f"{lost} of {limit} open files, more than its clients hold"
            self._give_up(SERVER, Cause.FULL, reason)

    def _look_at_loads(self, dead: frozenset[int], now_s: float) -> None:
        """Restart if a process died while its model is being loaded: Triton waits for it for ever.

        A load that fails leaves a dead process, too, until the load ends.
        """
        loading = [model for model, health in self._health.items() if health.cause and health.job]
        if not loading:
            self._dead_before_loads |= dead
        if not dead - self._dead_before_loads:
            self._lost_since_s = now_s
        elif now_s - self._lost_since_s >= self._settings.load_lost_s:
            self._give_up(loading[0], Cause.STUCK, "its new process died while loading")

    def _look_at_process(self, instance: Instance, now_s: float) -> None:
        """Look at a process, unless its model is being recovered: then load and canary decide."""
        health, state = self._health.get(instance.model), model_processes.state(instance.pid)
        if state is State.GONE:
            if instance.model == SERVER:  # its launcher (mpirun) may outlive it
                state = State.DEAD
            else:
                del self._newest[instance.name]
        if health and not health.cause and (cause := health.seen(now_s, instance.pid, state)):
            self._recover(health, cause, now_s)

    # --- canaries ------------------------------------------------------------------------------

    def _hear(self, health: ModelHealth, found: Finding, now_s: float) -> None:
        if health.cause:
            self._hear_reload(health, health.cause, found, now_s)
            return
        was_broken, model = health.is_broken, health.canary.model
        cause = found.cause if self._is_its_own(health) else None
        cause = health.heard(now_s, found.problem, cause)
        if found.problem and (broken := self._broken() & health.canary.calls):
            health.problem, health.is_broken = f"calls {', '.join(sorted(broken))}", True
        if cause:
            self._recover(health, cause, now_s)
        elif not found.problem:
            if was_broken:
                self._journal.add(model, Cause.FAILING, "answers again")
            if now_s - health.recovered_s > self._settings.stable_s:
                self._tried.discard(model)

    def _is_its_own(self, health: ModelHealth) -> bool:
        """Whether a failure is the model's own: not if a model that it calls is away, or was
        reloaded meanwhile."""
        called = [self._health[model] for model in health.canary.calls & self._health.keys()]
        return all(not one.problem and one.recovered_s <= health.asked_s for one in called)

    def _ask(self, canary: Canary) -> Finding:
        found = self._fault(canary)
        with contextlib.suppress(NoAnswer):
            if found.cause is Cause.FAILING and canary.model in self._api.unloaded_models():
                return Finding(UNLOADED)  # on purpose, so the supervisor does not load it
        return found

    def _fault(self, canary: Canary) -> Finding:
        """Ask a model, and say what is wrong; a late answer of a busy model is no fault.

        A model that finishes nothing but computes may have a large batch on a slow machine, so it
        gets `busy_s`.
        """
        if self._no_room:
            return Finding(self._no_room)
        end_s = time.monotonic() + self._settings.busy_s
        while True:
            cpu_s = self._cpu_s(canary)
            found = self._answered(canary)
            is_busy = self._cpu_s(canary) - cpu_s >= self._settings.busy_cpu_s
            if found.cause is not Cause.STUCK or not is_busy or time.monotonic() >= end_s:
                return found

    def _cpu_s(self, canary: Canary) -> float:
        """CPU time of the model's processes, and of those of the models that it calls."""
        models = {canary.model, *canary.calls} - {SERVER}
        instances = [one for one in list(self._newest.values()) if one.model in models]
        return sum(model_processes.cpu_s(one.pid) for one in instances)

    def _answered(self, canary: Canary) -> Finding:
        """What is wrong with the answer, or that none came in time."""
        progress: object = None
        try:
            progress = canary.progress(self._api)
            answer = canary.ask(self._api, self._settings.canary_timeout_s)
        except NoAnswer as error:
            if not error.is_late:
                return Finding(str(error), Cause.FAILING if canary.model == SERVER else None)
            with contextlib.suppress(NoAnswer):  # no metrics: the server's own canary will fail
                if canary.progress(self._api) == progress:
                    return Finding("no answer to its canary, no progress", Cause.STUCK)
            return Finding()
        if fault := canary.fault(answer):
            return Finding(f"answers its canary with an error: {fault}", Cause.FAILING)
        if not answer.error and canary.model != SERVER:
            self._journal.canary_s.labels(canary.model).observe(answer.seconds)
        return Finding()

    # --- recovery ------------------------------------------------------------------------------

    def _recover(self, health: ModelHealth, cause: Cause, now_s: float) -> None:
        """Reload a plain model; restart the server for another, or if requests would hang.

        A model that still answers with errors after that is left: its files cause them.
        """
        model, reloads = health.canary.model, self._settings.reloads
        was_tried = model in self._tried
        if cause is Cause.FAILING and was_tried and model != SERVER:
            self._leave(health, health.problem)
            return
        wait_s = health.backoff.next_s(now_s)
        is_often = health.backoff.count > reloads
        if cause is Cause.FAILING or is_often:
            self._tried.add(model)
        if model == SERVER or health.canary.decoupled or self._has_large_requests(model):
            self._give_up(model, cause, health.problem)
        elif is_often and not was_tried:
            self._give_up(model, cause, f"{health.problem}, after {reloads} reloads")
        else:
            health.begin_recovery(cause, now_s, wait_s, is_often)
            self._kill(model)

    def _has_large_requests(self, model: str) -> bool:
        """Whether it has large requests: its threads answer them, so they hang if it dies."""
        with contextlib.suppress(NoAnswer):
            return any(
                sample.name == LARGE_REQUESTS.name and sample.labels["model"] == model
                for sample in self._api.metrics()
                if sample.value
            )
        return False

    def _leave(self, health: ModelHealth, problem: str) -> None:
        """Leave a model as it is: reported once; its canaries continue."""
        if not health.is_broken:
            said = f"{problem}, also after it was brought back; left as it is"
            self._journal.add(health.canary.model, Cause.FAILING, said)
        health.problem, health.is_broken = problem, True

    def _hear_reload(self, health: ModelHealth, cause: Cause, found: Finding, now_s: float) -> None:
        model, taken_s = health.canary.model, now_s - health.noticed_s
        if found.cause is Cause.STUCK:
            self._give_up(model, found.cause, found.problem)
        elif found.problem and not found.cause:
            if found.problem != health.refusal:
                self._journal.add(model, cause, f"reload failed ({found.problem})", taken_s)
            health.reload_failed(found.problem, now_s)
            self._kill(model)
        else:
            health.end_recovery(now_s)
            if found.problem:
                self._leave(health, found.problem)
            else:
                self._journal.recovered(model, cause, "reloaded", taken_s)

    def _reload(self, canary: Canary) -> Finding:
        """Load a model and ask it: STUCK if the load does not end, FAILING if the model then
        fails."""
        begun_s, load_s = time.monotonic(), self._settings.load_s
        try:
            refusal = self._api.reload(canary.model, load_s)
        except NoAnswer as error:
            if error.is_late and time.monotonic() - begun_s >= load_s:
                return Finding(f"not loaded after {load_s:g} s", Cause.STUCK)
            return Finding(str(error))
        if refusal:
            return Finding(refusal.splitlines()[0][:200])
        found = self._fault(canary)
        return found if found.cause is Cause.FAILING else Finding(found.problem)

    def _kill(self, model: str) -> None:
        """End the rest of the model's processes."""
        for instance in [one for one in self._newest.values() if one.model == model]:
            model_processes.kill(instance)
            self._dead_before_loads.add(self._newest.pop(instance.name).pid)
