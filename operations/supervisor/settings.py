"""How patient the supervisor is; everything in seconds."""

from dataclasses import dataclass

HEALTH_PORT = 8003
"""Of /livez, /readyz and /metrics, beside Triton's 8000 to 8002."""


@dataclass(frozen=True)
class Settings:
    """Times in seconds, `failures` in canaries.

    A model is stuck when a canary had no answer for `canary_timeout_s` and nothing else was
    finished meanwhile; failing when `failures` canaries in a row were answered with an error.
    """

    poll_s: float = 0.2
    """Between two looks at the processes."""
    lasting_s: float = 0.4
    """How long a process must be dead or stopped before something is done."""
    load_lost_s: float = 5.0
    """The same for a process whose model is being loaded: Triton (2.51) waits for it for ever, so
    the server is started again."""
    canary_interval_s: float = 10.0
    canary_retry_s: float = 1.0
    """Between canaries of a model that does not answer as it should."""
    canary_timeout_s: float = 20.0
    suspect_s: float = 5.0
    """The same for a model that streamed to one that died: it may wait for that for ever."""
    failures: int = 3
    load_s: float = 180.0
    """For the repository API to load a model; after it the server is started again."""
    backoff_min_s: float = 1.0
    backoff_max_s: float = 60.0
    stable_s: float = 60.0
    """A model or server that lived this long begins with the shortest wait again."""
    drain_s: float = 30.0
    """For requests in flight at SIGTERM; after it their connections are ended."""
    idle_s: float = 3.0
    """While draining: an answered HTTP connection that was silent for so long has no request."""
    idle_generating_s: float = 15.0
    """The same while `llm` has requests, or can't be asked: a stream may pause."""
    exit_s: float = 5.0
    """For tritonserver to end once it has no connections or they are ended; after it: SIGKILL."""
