"""`make serve SERVE_FLAGS=--traces`: the server's spans and our models' go to a collector."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from operations.ports import LOOPBACK
from operations.supervisor.endpoint import Handler
from operations.traces import trace_options


@dataclass(frozen=True)
class Traces:
    """What a supervisor needs for them: handlers, options and environment of tritonserver."""

    handlers: tuple[Handler, ...] = ()
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


UNTRACED = Traces()


def traced(port: int, address: str = LOOPBACK) -> Traces:
    """Every request, sent to the collector's usual port of this machine."""
    options, variables = trace_options()
    return Traces((), options, variables)
