"""The servers behind an edge as Envoy's clusters.

A version is two clusters over the same servers: one by load (least request) and one by hash (ring),
because a cluster has one way to choose. Routes say which of them a request takes.
"""

from collections.abc import Iterator, Sequence

from gateway.envoy import rate_limits
from gateway.envoy.edge import Address, Edge, ServerTls
from gateway.envoy.messages import Json, certificate, extension, file, seconds, socket_address

BY_LOAD = "by-load"
BY_HASH = "by-hash"
MIRROR = "mirror"

_CONNECT_S = 2.0
_PROBE_S = 1.0
_PROBE_TIMEOUT_S = 3.0
_EJECTED_S = 5.0
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_TLS = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CHOICES: dict[str, Json] = {
    BY_LOAD: {"lb_policy": "LEAST_REQUEST"},
    BY_HASH: {"lb_policy": "RING_HASH", "ring_hash_lb_config": {"minimum_ring_size": 1024}},
}


def cluster_name(version: str, choice: str) -> str:
    return f"{version}-{choice}"


def clusters(edge: Edge) -> Iterator[Json]:
    """Those of each version, then the mirror's and the rate limit service's."""
    for version in edge.versions:
        for choice in _CHOICES:
            yield _cluster(edge, cluster_name(version.name, choice), version.servers, choice)
    if edge.mirror:
        yield _cluster(edge, MIRROR, edge.mirror.servers, BY_LOAD)
    if edge.rate_limits:
        yield rate_limits.cluster(edge.rate_limits)


def _cluster(edge: Edge, name: str, servers: Sequence[Address], choice: str) -> Json:
    return {
        "name": name,
        "type": "STRICT_DNS",
        "connect_timeout": seconds(_CONNECT_S),
        "load_assignment": {"cluster_name": name, "endpoints": [_endpoints(servers)]},
        **_CHOICES[choice],
        "common_lb_config": _common_choice(choice),
        "circuit_breakers": {"thresholds": [_limits(edge.bounds.requests, len(servers))]},
        "health_checks": [_probe(edge.kind.value)],
        "outlier_detection": _outliers(),
        "typed_extension_protocol_options": {_HTTP: _http()},
        **(_tls(edge.server_tls) if edge.server_tls else {}),
    }


def _endpoints(servers: Sequence[Address]) -> Json:
    return {"lb_endpoints": [{"endpoint": {"address": socket_address(s)}} for s in servers]}


def _common_choice(choice: str) -> Json:
    """No panic: where most servers are down, the others get the requests, not the dead ones. A
    popular prefix takes at most 1.5 times a server's share, then the next on the ring helps."""
    common: Json = {"healthy_panic_threshold": {"value": 0}}
    if choice == BY_HASH:
        common["consistent_hashing_lb_config"] = {"hash_balance_factor": 150}
    return common


def _limits(requests: int, servers: int) -> Json:
    """When one of N servers dies, a share of 1/N of the requests is tried again, and not many more:
    until it is out, the dead one has the fewest requests, and so gets the new ones."""
    share_percent = max(20.0, 100.0 / servers)
    return {
        "max_connections": requests,
        "max_pending_requests": requests,
        "max_requests": requests,
        "retry_budget": {"budget_percent": {"value": share_percent}, "min_retry_concurrency": 64},
    }


def _probe(path: str) -> Json:
    """A server that answers 503 leaves at once, and comes back with its first 200."""
    return {
        "timeout": seconds(_PROBE_TIMEOUT_S),
        "interval": seconds(_PROBE_S),
        "no_traffic_interval": seconds(_PROBE_S),
        "no_traffic_healthy_interval": seconds(_PROBE_S),
        "unhealthy_threshold": 2,
        "healthy_threshold": 1,
        "http_health_check": {"path": path},
    }


def _outliers() -> Json:
    """A server that can't be reached or drops requests leaves for some seconds. Answers don't
    count: 503 says overloaded, and sending the others more would overload them too."""
    return {
        "split_external_local_origin_errors": True,
        "consecutive_local_origin_failure": 2,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_success_rate": 0,
        "interval": "1s",
        "base_ejection_time": seconds(_EJECTED_S),
        "max_ejection_percent": 100,
    }


def _http() -> Json:
    return {
        "@type": f"type.googleapis.com/{_HTTP}",
        "explicit_http_config": {"http_protocol_options": {}},
        "common_http_protocol_options": {"idle_timeout": "60s"},
    }


def _tls(tls: ServerTls) -> Json:
    """Certificates are checked against the authority and the name."""
    subject = {"san_type": "DNS", "matcher": {"exact": tls.server_name}}
    common: Json = {
        "validation_context": {
            "trusted_ca": file(tls.ca),
            "match_typed_subject_alt_names": [subject],
        }
    }
    if tls.certificate and tls.key:
        common["tls_certificates"] = [certificate(tls.certificate, tls.key)]
    socket = extension(
        "envoy.transport_sockets.tls", _TLS, sni=tls.server_name, common_tls_context=common
    )
    return {"transport_socket": socket}
