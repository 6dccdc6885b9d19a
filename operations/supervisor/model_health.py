"""What is known of one model, and what follows from it; no threads, no clock, no sockets."""

from dataclasses import dataclass, field

from operations.supervisor.events import Cause
from operations.supervisor.processes import State
from operations.supervisor.settings import SupervisorSettings

NOT_ASKED = "not asked yet"


@dataclass
class Backoff:
    """Waits that double while what they stand before keeps happening."""

    settings: SupervisorSettings
    count: int = 0
    """How often it happened without `stable_s` of peace in between."""
    _wait_s: float = 0.0
    _last_s: float | None = None

    def next_s(self, now_s: float) -> float:
        """How long to wait this time; not at all the first time."""
        is_first = self._last_s is None or now_s - self._last_s > self.settings.stable_s
        longer = max(self.settings.backoff_min_s, 2 * self._wait_s)
        self._wait_s = 0.0 if is_first else min(longer, self.settings.backoff_max_s)
        self.count = 1 if is_first else self.count + 1
        self._last_s = now_s + self._wait_s
        return self._wait_s


@dataclass
class ModelHealth:
    """One model's state. `problem` is empty while it answers; times are of a monotonic clock."""

    settings: SupervisorSettings
    due_s: float = 0.0
    """When its next canary is due."""
    problem: str = NOT_ASKED
    recovering: bool = False
    generation: int = 0
    """Counts recoveries: what was found out before one says nothing after it."""
    _failures: int = 0
    _bad_since_s: dict[int, float] = field(default_factory=dict)

    @property
    def is_up(self) -> bool:
        return not self.problem

    def answered(self, now_s: float) -> None:
        """Its canary came back well, or it said that its queue is full."""
        self.problem = ""
        self._failures = 0
        self.due_s = now_s + self.settings.canary_interval_s

    def refused(self, now_s: float, error: str, own: bool = True) -> Cause | None:
        """Its canary came back with an error; not its `own` where a model that it calls fails."""
        self._failures += own
        self.due_s = now_s + self.settings.canary_retry_s
        self.problem = f"answers its canary with an error: {error}"
        return Cause.FAILING if self._failures >= self.settings.failures else None

    def silent(self, now_s: float, progressed: bool) -> Cause | None:
        """Its canary was not answered in time; a busy model does not hang."""
        self.due_s = now_s + self.settings.canary_retry_s
        if progressed:
            return None
        self.problem = "no answer to its canary and no progress"
        return Cause.STUCK

    def seen(self, now_s: float, pid: int, state: State) -> Cause | None:
        """One of its processes was looked at; it must be dead or stopped for `lasting_s`.

        One that Triton ends is dead for a moment before it is gone. While the model is being
        loaded, `load_lost_s` holds: a load that fails leaves a dead process, too, until it ends.
        """
        if state in {State.ALIVE, State.GONE}:
            self._bad_since_s.pop(pid, None)
            return None
        since_s = self._bad_since_s.setdefault(pid, now_s)
        settings = self.settings
        if now_s - since_s < (settings.load_lost_s if self.recovering else settings.lasting_s):
            return None
        self.problem = f"process {pid} is {state}"
        return Cause.DEAD if state is State.DEAD else Cause.STOPPED

    def begin_recovery(self, cause: Cause) -> None:
        """From here to `end_recovery` nothing else is asked of it."""
        self.recovering, self.problem = True, f"{cause}, being brought back"
        self.generation += 1
        self._failures = 0
        self._bad_since_s.clear()

    def end_recovery(self, now_s: float) -> None:
        self.recovering = False
        self.answered(now_s)
