"""Times and counts of the supervisor."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SupervisorSettings:
    """Times in seconds; `failures` and `reloads` are counts."""

    poll_s: float = 0.2
    """Between two looks at the processes."""
    lasting_s: float = 0.4
    """How long a process must be dead or stopped before something is done."""
    load_lost_s: float = 5.0
    """The same while a model is being loaded: Triton (2.51) then waits for it for ever."""
    load_s: float = 180.0
    """For the repository API to load a model; after it the server is started again."""
    canary_interval_s: float = 10.0
    canary_retry_s: float = 1.0
    """Between canaries of a model that does not answer as it should."""
    canary_timeout_s: float = 20.0
    """A model without an answer for so long, and without progress, hangs; so does a server."""
    busy_s: float = 180.0
    """How long a model may end nothing while it computes: a large batch on a slow machine."""
    busy_cpu_s: float = 0.5
    """Processor time within `canary_timeout_s` of a model that computes."""
    failures: int = 3
    """Canaries in a row that were answered with an error."""
    reloads: int = 3
    """How often a model is reloaded, each time in `stable_s`, before the server is restarted."""
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_s: float = 60.0
    """A model or server that lived this long begins with no wait again."""
    lost_share: float = 0.5
    """When clients that are gone hold this share of the files that tritonserver may have open, it
    is drained and started again."""
    spare_files: int = 16
    """With fewer files left, tritonserver soon takes no connections."""
    drain_s: float = 30.0
    """For requests in flight at SIGTERM; after it they are cut."""
    idle_s: float = 3.0
    """While draining: nothing is in flight when nothing was computed or sent for so long."""
