"""What `serve --traces` sets so that spans reach an OpenTelemetry collector."""

DEFAULT_URL = "http://127.0.0.1:4318"
"""OTLP over HTTP; `triton-traces collect` listens there."""


def trace_options(url: str = DEFAULT_URL) -> tuple[tuple[str, ...], dict[str, str]]:
    """Options of tritonserver, for its own spans, and environment variables, for our models'.

    Every request is traced. `url` is the collector's, without a path.
    """
    settings = (
        "mode=opentelemetry",
        "rate=1",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url}/v1/traces",
    )
    return tuple(f"--trace-config={each}" for each in settings), {
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_BSP_SCHEDULE_DELAY": "500",  # somebody waits for them: half a second, not the usual 5
    }
