"""`make serve SERVE_FLAGS=--traces`: the server's spans and our models' go to the health port."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from operations.monitoring.trace_collector import EXPORT, Reply, handle
from operations.monitoring.trace_store import TraceStore
from operations.ports import LOOPBACK
from operations.supervisor.endpoint import Handler


@dataclass(frozen=True)
class Traces:
    """What a supervisor needs for them: handlers, options and environment of tritonserver."""

    handlers: tuple[Handler, ...] = ()
    options: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)


UNTRACED = Traces()


def traced(port: int, address: str = LOOPBACK) -> Traces:
    """Every request, collected at `port` of this machine."""
    store, url = TraceStore(), f"http://{address}:{port}"

    def collect(method: str, target: str, headers: Mapping[str, str], body: bytes) -> Reply | None:
        return handle(store, method, target, headers, body)

    options = (
        "mode=opentelemetry",
        "rate=1",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url}{EXPORT}",
    )
    return Traces(
        (collect,),
        tuple(f"--trace-config={option}" for option in options),
        # Somebody waits for them: sent after half a second, not after the usual five.
        {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "500"},
    )
