"""The health of one model and what to do about it; no threads, no clock, no sockets."""

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import NamedTuple

from operations.model_processes import State
from operations.supervisor.canary import Canary
from operations.supervisor.journal import Cause
from operations.supervisor.settings import SupervisorSettings

NOT_ASKED = "not asked yet"
UNLOADED = "unloaded through the repository API"


class Finding(NamedTuple):
    """What is wrong with a model, if anything; with a cause if the supervisor can act on it."""

    problem: str = ""
    cause: Cause | None = None


@dataclass
class Backoff:
    """Waits that double each time the same failure happens again."""

    settings: SupervisorSettings
    count: int = 0
    """How often it happened without a pause of `stable_s` in between."""
    _last_s: float = float("-inf")

    def next_s(self, now_s: float) -> float:
        """How long to wait this time; 0 the first time."""
        settings = self.settings
        self.count = 1 if now_s - self._last_s > settings.stable_s else self.count + 1
        longer_s = settings.backoff_min_s * 2.0 ** (self.count - 2)
        wait_s = 0.0 if self.count == 1 else min(longer_s, settings.backoff_max_s)
        self._last_s = now_s + wait_s
        return wait_s


@dataclass
class ModelHealth:
    """One model's state. `problem` is empty while it answers; times are of a monotonic clock."""

    canary: Canary
    settings: SupervisorSettings
    backoff: Backoff
    due_s: float = 0.0
    """When its next canary is due, or its next reload during a recovery."""
    asked_s: float = 0.0
    job: "Future[Finding] | None" = None
    """Its canary or its reload, while that runs."""
    problem: str = NOT_ASKED
    is_broken: bool = False
    """Whether it is unloaded, or recovery has not helped: the server is ready without it."""
    cause: Cause | None = None
    """The cause of a running recovery; None without one."""
    noticed_s: float = 0.0
    """When the cause was noticed."""
    refusal: str = ""
    """Why the last reload failed."""
    recovered_s: float = float("-inf")
    """When the last recovery ended: answers to earlier canaries don't count."""
    _failures: int = 0
    _bad_since_s: dict[int, float] = field(default_factory=dict)

    def heard(self, now_s: float, problem: str = "", cause: Cause | None = None) -> Cause | None:
        """Takes its canary's result. Returns `cause` once it is time to act on it."""
        settings = self.settings
        self.problem = problem
        self.is_broken = problem == UNLOADED or (self.is_broken and bool(problem))
        soon = problem and not self.is_broken
        self.due_s = now_s + (settings.canary_retry_s if soon else settings.canary_interval_s)
        self._failures = self._failures + (cause is Cause.FAILING) if problem else 0
        return None if cause is Cause.FAILING and self._failures < settings.failures else cause

    def seen(self, now_s: float, pid: int, state: State) -> Cause | None:
        """Takes the state of one of its processes. Returns a cause once it was dead or stopped for
        `lasting_s`: one that Triton ends is dead for a moment before it is gone.
        """
        if state in {State.ALIVE, State.GONE}:
            self._bad_since_s.pop(pid, None)
            return None
        if now_s - self._bad_since_s.setdefault(pid, now_s) < self.settings.lasting_s:
            return None
        self.problem = f"process {pid} is {state}"
        return Cause(state.value)

    def begin_job(self, now_s: float, job: "Future[Finding]") -> None:
        """Begin a canary or reload; the next one is due even if a bug loses this one's result."""
        self.job, self.asked_s = job, now_s
        self.due_s = now_s + self.settings.canary_interval_s

    def begin_recovery(self, cause: Cause, now_s: float, wait_s: float, is_broken: bool) -> None:
        """Stops canaries and reloads of the model until `end_recovery`."""
        self.cause, self.problem, self.job = cause, f"{cause}, being brought back", None
        self.noticed_s, self.due_s, self.is_broken = now_s, now_s + wait_s, is_broken
        self.refusal, self._failures = "", 0
        self._bad_since_s.clear()

    def reload_failed(self, refusal: str, now_s: float) -> None:
        """Try the reload again later, after a longer wait each time."""
        self.refusal, self.problem = refusal, f"{self.cause}, reload failed: {refusal}"
        self.is_broken = self.backoff.count >= self.settings.reloads
        self.due_s = now_s + self.backoff.next_s(now_s)

    def end_recovery(self, now_s: float) -> None:
        self.cause, self.recovered_s = None, now_s
        self.heard(now_s)
