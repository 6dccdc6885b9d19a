"""Which servers get a request: by version and affinity, with its copy for the mirror."""

from gateway.envoy import rate_limits
from gateway.envoy.clusters import BY_HASH, BY_LOAD, MIRROR, cluster_name
from gateway.envoy.edge import PREFIX_HEADER, Edge, Kind, Version
from gateway.envoy.messages import Json, seconds

_MODEL_ACTION = "infer|generate|generate_stream|ready|config|stats"
_MATCHES: dict[Kind, Json] = {
    Kind.GATEWAY: {"prefix": "/"},
    Kind.TRITON: {
        "safe_regex": {
            "regex": "/v2(/health/(live|ready)|/models/stats|/repository/index"
            f"|/models/[^/]+(/versions/[^/]+)?(/({_MODEL_ACTION}))?)?"
        }
    },
}
"""What passes. Of a Triton: what asks models, not what loads them, traces, or maps memory."""


def virtual_host(edge: Edge) -> Json:
    """All hosts' routes; the retry policy tries nothing twice that has begun to answer."""
    return {
        "name": "all",
        "domains": ["*"],
        "routes": [*_hashed(edge), _route(edge, BY_LOAD), *_refused(edge.kind)],
        "retry_policy": _retry_policy(),
        **({"rate_limits": rate_limits.descriptors()} if edge.rate_limits else {}),
        "request_body_buffer_limit": edge.bounds.body_bytes,  # a longer one is not tried again
    }


def _refused(kind: Kind) -> list[Json]:
    """The route for what no other one takes."""
    if kind is Kind.GATEWAY:
        return []
    text = {"inline_string": "the edge passes requests to models only: ask this Triton itself"}
    return [{"match": {"prefix": "/"}, "direct_response": {"status": 403, "body": text}}]


def _hashed(edge: Edge) -> list[Json]:
    """One route for each header that names a server, before the one for all others."""
    headers = [edge.affinity.session_header, PREFIX_HEADER]
    return [_route(edge, BY_HASH, header) for header in headers]


def _route(edge: Edge, choice: str, hashed_header: str = "") -> Json:
    """Streams have no timeout as a whole; a silent one ends after `idle_s`."""
    action: Json = {
        "weighted_clusters": _weighted(edge.versions, choice, bool(hashed_header)),
        "timeout": "0s",
        "idle_timeout": seconds(edge.bounds.idle_s),
    }
    match = dict(_MATCHES[edge.kind])
    if hashed_header:
        match["headers"] = [{"name": hashed_header, "present_match": True}]
        action["hash_policy"] = [{"header": {"header_name": hashed_header}}]
    if edge.mirror:
        action["request_mirror_policies"] = [_mirror(edge.mirror.percent)]
    return {"match": match, "route": action}


def _weighted(versions: tuple[Version, ...], choice: str, by_hash: bool) -> Json:
    """With a hash a session stays with its version too."""
    named = [(v.percent, cluster_name(v.name, choice)) for v in versions]
    found: Json = {
        "clusters": [{"name": name, "weight": percent} for percent, name in named],
        "runtime_key_prefix": "versions",
    }
    if by_hash:
        found["use_hash_policy"] = True
    return found


def _mirror(percent: int) -> Json:
    """A copy asks for the same host: a gateway without keys takes no other names."""
    share = {"numerator": percent, "denominator": "HUNDRED"}
    return {
        "cluster": MIRROR,
        "disable_shadow_host_suffix_append": True,
        "runtime_fraction": {"default_value": share, "runtime_key": "mirror_percent"},
    }


def _retry_policy() -> Json:
    """On another server than the first: a dead one, one that drops requests, one that has no room.

    Nothing that we serve changes anything, so a request may run twice.
    """
    return {
        "retry_on": "connect-failure,refused-stream,reset,retriable-status-codes",
        "retriable_status_codes": [503],
        "num_retries": 3,
        "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
        "retry_host_predicate": [
            {
                "name": "envoy.retry_host_predicates.previous_hosts",
                "typed_config": {
                    "@type": "type.googleapis.com/"
                    "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                },
            }
        ],
        "host_selection_retry_max_attempts": 30,  # a dead server has the fewest requests
    }
