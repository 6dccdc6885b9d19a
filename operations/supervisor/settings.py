"""Times and counts of the supervisor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SupervisorSettings:
    """Times in seconds; `failures` and `reloads` are counts."""

    poll_s: float = 0.2
    """Pause between two looks at the processes."""
    lasting_s: float = 0.4
    """How long a process must be dead or stopped before the supervisor acts."""
    load_lost_s: float = 5.0
    """The same while a model is being loaded: Triton (2.51) then waits for it for ever."""
    load_s: float = 180.0
    """Longest time to load a model by the repository API; after it the server is restarted."""
    canary_interval_s: float = 10.0
    canary_retry_s: float = 1.0
    """Pause between canaries of a model that does not answer as it should."""
    canary_timeout_s: float = 20.0
    """A model or server hangs if it gives no answer, and makes no progress, for so long."""
    busy_s: float = 180.0
    """How long a model may finish nothing while it computes: a large batch on a slow machine."""
    busy_cpu_s: float = 0.5
    """CPU time within `canary_timeout_s` with which a model counts as computing."""
    failures: int = 3
    """Number of canaries in a row with an error after which a model counts as failing."""
    reloads: int = 3
    """Reloads of a model, each within `stable_s` of the last, before the server is restarted."""
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_s: float = 60.0
    """After this time without a failure, a model or server is recovered without a wait again."""
    lost_share: float = 0.5
    """When connections of clients that are gone are this share of the files that tritonserver may
    open, it is drained and restarted."""
    spare_files: int = 16
    """With fewer files left, tritonserver soon takes no connections."""
    drain_s: float = 30.0
    """Time for requests in flight at SIGTERM; after it they are cut off."""
    idle_s: float = 3.0
    """During a drain nothing is in flight if nothing was computed or sent for so long."""
