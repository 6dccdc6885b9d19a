"""Where an edge listens: HTTP/1.1 and HTTP/2, its limits, and what it says itself."""

from pathlib import Path

from gateway.envoy import rate_limits
from gateway.envoy.edge import Bounds, Edge, ListenTls
from gateway.envoy.messages import Json, certificate, extension, file, seconds, socket_address
from gateway.envoy.routes import virtual_host

_BUFFER_BYTES = 32 * 1024
_STREAM_WINDOW_BYTES = 64 * 1024
_CONNECTION_WINDOW_BYTES = 1024 * 1024
_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_PREFIX_SCRIPT = Path(__file__).with_name("prefix.lua")


def listener(edge: Edge) -> Json:
    """`envoy.config.listener.v3.Listener`."""
    manager = extension(
        "envoy.filters.network.http_connection_manager", _MANAGER, **_connection_manager(edge)
    )
    chain: Json = {"filters": [manager]}
    if edge.listen_tls:
        chain["transport_socket"] = _tls(edge.listen_tls)
    return {
        "name": "clients",
        "address": socket_address(edge.listen),
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [chain],
    }


def _connection_manager(edge: Edge) -> Json:
    """Its own words have OpenAI's shape of an error, and its log no text of a request."""
    return {
        "stat_prefix": "clients",
        "codec_type": "AUTO",
        "route_config": {"name": "servers", "virtual_hosts": [virtual_host(edge)]},
        "http_filters": list(_filters(edge)),
        "local_reply_config": _own_errors(),
        "access_log": [_access_log()],
        **_identity(),
        **_limits(edge.bounds),
    }


def _identity() -> Json:
    """A path, an address and an id mean the same behind the edge as here."""
    return {
        "use_remote_address": True,
        "preserve_external_request_id": True,
        "always_set_request_id_in_response": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
    }


def _limits(bounds: Bounds) -> Json:
    return {
        "max_request_headers_kb": bounds.header_kib,
        "request_headers_timeout": seconds(bounds.header_s),
        "request_timeout": seconds(bounds.request_s),
        "stream_idle_timeout": seconds(bounds.idle_s),
        "drain_timeout": "1s",
        "common_http_protocol_options": {
            "idle_timeout": seconds(bounds.idle_s),
            "max_headers_count": bounds.headers,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "http2_protocol_options": {
            "max_concurrent_streams": bounds.http2_streams,
            "initial_stream_window_size": _STREAM_WINDOW_BYTES,
            "initial_connection_window_size": _CONNECTION_WINDOW_BYTES,
        },
    }


def _filters(edge: Edge) -> list[Json]:
    """A body is held until it is whole: a slow client holds no server, and a server gets it with
    its length, never in a million chunks."""
    found = rate_limits.filters() if edge.rate_limits else []
    found.append(
        extension(
            "envoy.filters.http.buffer",
            "envoy.extensions.filters.http.buffer.v3.Buffer",
            max_request_bytes=edge.bounds.body_bytes,
        )
    )
    if edge.affinity.prefix_bytes:
        found.append(_prefix_filter(edge.affinity.prefix_bytes))
    router = "envoy.extensions.filters.http.router.v3.Router"
    return [*found, extension("envoy.filters.http.router", router)]


def _prefix_filter(prefix_bytes: int) -> Json:
    script = _PREFIX_SCRIPT.read_text(encoding="utf-8")
    return extension(
        "envoy.filters.http.lua",
        "envoy.extensions.filters.http.lua.v3.Lua",
        default_source_code={"inline_string": f"local PREFIX_BYTES = {prefix_bytes}\n{script}"},
    )


def _own_errors() -> Json:
    error = {"message": "%LOCAL_REPLY_BODY%", "type": "edge_error", "code": "%RESPONSE_CODE%"}
    return {"body_format": {"json_format": {"error": error}}}


def _access_log() -> Json:
    """One line of JSON for each request; paths without their query."""
    fields = {
        "time": "%START_TIME%",
        "request_id": "%REQUEST_HEADER(x-request-id)%",
        "method": "%REQUEST_HEADER(:method)%",
        "path": "%PATH(NQ)%",
        "status": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "duration_ms": "%DURATION%",
        "server": "%UPSTREAM_HOST%",
        "cluster": "%UPSTREAM_CLUSTER%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
    }
    return extension(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={"json_format": fields},
    )


def _tls(tls: ListenTls) -> Json:
    common: Json = {
        "alpn_protocols": ["h2", "http/1.1"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
        "tls_certificates": [certificate(tls.certificate, tls.key)],
    }
    if tls.client_ca:
        common["validation_context"] = {"trusted_ca": file(tls.client_ca)}
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=tls.client_ca is not None,
        common_tls_context=common,
    )
