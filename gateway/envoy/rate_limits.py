"""Limits that several edges share: each asks a rate limit service before it passes a request on.

The service (github.com/envoyproxy/ratelimit, or another one of Envoy's protocol) has the numbers;
Envoy sends what to count by: a hash of the caller's key, and the client's address. While the
service is away everything passes: the gateways hold their own limits.
"""

from pathlib import Path

from gateway.envoy.edge import Address
from gateway.envoy.messages import Json, extension, seconds, socket_address

DOMAIN = "triton-rag"
KEY_HASH_HEADER = "x-key-hash"
CLUSTER = "rate-limits"
_TIMEOUT_S = 0.25
_SCRIPT = Path(__file__).with_name("key_hash.lua")
_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def descriptors() -> list[Json]:
    """`rate_limits` of a virtual host; one without its header is not sent."""
    by_key = {"header_name": KEY_HASH_HEADER, "descriptor_key": "key"}
    return [{"actions": [{"request_headers": by_key}]}, {"actions": [{"remote_address": {}}]}]


def filters() -> list[Json]:
    """Hashes the key, then asks; 429 has the headers of the IETF's draft on limits."""
    service = {"envoy_grpc": {"cluster_name": CLUSTER}}
    return [
        extension(
            "gateway.key_hash",
            "envoy.extensions.filters.http.lua.v3.Lua",
            default_source_code={"inline_string": _SCRIPT.read_text(encoding="utf-8")},
        ),
        extension(
            "envoy.filters.http.ratelimit",
            "envoy.extensions.filters.http.ratelimit.v3.RateLimit",
            domain=DOMAIN,
            timeout=seconds(_TIMEOUT_S),
            failure_mode_deny=False,
            enable_x_ratelimit_headers="DRAFT_VERSION_03",
            rate_limit_service={"grpc_service": service, "transport_api_version": "V3"},
        ),
    ]


def cluster(service: Address) -> Json:
    """The service speaks gRPC, so HTTP/2."""
    http2: Json = {"explicit_http_config": {"http2_protocol_options": {}}}
    place = {"endpoint": {"address": socket_address(service)}}
    return {
        "name": CLUSTER,
        "type": "STRICT_DNS",
        "connect_timeout": seconds(_TIMEOUT_S),
        "load_assignment": {"cluster_name": CLUSTER, "endpoints": [{"lb_endpoints": [place]}]},
        "typed_extension_protocol_options": {
            _HTTP: {"@type": f"type.googleapis.com/{_HTTP}", **http2}
        },
    }
