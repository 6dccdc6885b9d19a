"""What is known of one model, and what follows from it; no threads, no clock, no sockets."""

from dataclasses import dataclass, field

from operations.supervisor.journal import Cause
from operations.supervisor.processes import State
from operations.supervisor.settings import SupervisorSettings

NOT_ASKED = "not asked yet"


@dataclass
class Backoff:
    """Waits that double while what they stand before keeps happening."""

    settings: SupervisorSettings
    count: int = 0
    """How often it happened without `stable_s` of peace in between."""
    _last_s: float = float("-inf")

    def next_s(self, now_s: float) -> float:
        """How long to wait this time; not at all the first time."""
        settings = self.settings
        self.count = 1 if now_s - self._last_s > settings.stable_s else self.count + 1
        longer_s = settings.backoff_min_s * 2.0 ** (self.count - 2)
        wait_s = 0.0 if self.count == 1 else min(longer_s, settings.backoff_max_s)
        self._last_s = now_s + wait_s
        return wait_s


@dataclass
class ModelHealth:
    """One model's state. `problem` is empty while it answers; times are of a monotonic clock."""

    settings: SupervisorSettings
    due_s: float = 0.0
    """When its next canary is due."""
    problem: str = NOT_ASKED
    recovering: bool = False
    is_broken: bool = False
    """Nothing that is done about it helps, so the server is ready without it."""
    recovered_s: float = float("-inf")
    """When the last recovery ended: what was asked before says nothing after it."""
    _failures: int = 0
    _bad_since_s: dict[int, float] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        return not self.problem

    def heard(self, now_s: float, problem: str = "", cause: Cause | None = None) -> Cause | None:
        """Its canary's result. Returns `cause`, once it is time to do something about it."""
        self.problem, self.is_broken = problem, self.is_broken and bool(problem)
        soon = problem and not self.is_broken
        self.due_s = now_s + (
            self.settings.canary_retry_s if soon else self.settings.canary_interval_s
        )
        if not problem:
            self._failures = 0
        elif cause is Cause.FAILING:
            self._failures += 1
            return cause if self._failures >= self.settings.failures else None
        return cause

    def seen(self, now_s: float, pid: int, state: State) -> Cause | None:
        """One of its processes was looked at; it must be dead or stopped for `lasting_s`.

        One that Triton ends is dead for a moment before it is gone.
        """
        if state in {State.ALIVE, State.GONE}:
            self._bad_since_s.pop(pid, None)
            return None
        if now_s - self._bad_since_s.setdefault(pid, now_s) < self.settings.lasting_s:
            return None
        self.problem = f"process {pid} is {state}"
        return Cause(state.value)

    def begin_recovery(self, cause: Cause, is_broken: bool = False) -> None:
        """From here to `end_recovery` nothing else is asked of it."""
        self.recovering, self.problem = True, f"{cause}, being brought back"
        self.is_broken = is_broken
        self._failures = 0
        self._bad_since_s.clear()

    def end_recovery(self, now_s: float) -> None:
        self.recovering, self.recovered_s = False, now_s
        self.heard(now_s)
