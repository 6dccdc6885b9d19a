"""`serve --traces URL`: the spans of tritonserver and of our models go to a collector."""

DEFAULT_COLLECTOR = "http://127.0.0.1:4318"
"""The port of OTLP over HTTP: `triton-traces collect`, Jaeger or another collector."""


def trace_options(url: str = DEFAULT_COLLECTOR) -> tuple[tuple[str, ...], dict[str, str]]:
    """Options and environment variables of a tritonserver that traces every request to `url`."""
    url = url.rstrip("/")
    settings = (
        "mode=opentelemetry",
        "rate=1",
        "level=TIMESTAMPS",
        f"opentelemetry,url={url}/v1/traces",
    )
    # Somebody waits for them: sent after half a second, not after the usual five.
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": url, "OTEL_BSP_SCHEDULE_DELAY": "500"}
    return tuple(f"--trace-config={setting}" for setting in settings), variables
