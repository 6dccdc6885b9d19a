"""An edge as Envoy's bootstrap: JSON, which Envoy reads as it reads YAML."""

import json
from typing import Any

from gateway.envoy.clusters import clusters
from gateway.envoy.edge import Address, Edge
from gateway.envoy.listener import listener
from gateway.envoy.messages import Json, socket_address, typed

_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"


def render(edge: Edge) -> str:
    """The configuration file of `envoy --config-path`."""
    return json.dumps(bootstrap(edge), indent=2) + "\n"


def bootstrap(edge: Edge) -> Json:
    """`envoy.config.bootstrap.v3.Bootstrap`, all of it static."""
    return {
        "admin": _admin(edge.admin),
        "static_resources": {"listeners": [listener(edge)], "clusters": list(clusters(edge))},
        "overload_manager": _most_connections(edge.bounds.connections),
        # Weights and mirrored shares change while it runs: POST /runtime_modify to the admin port.
        "layered_runtime": {
            "layers": [
                {"name": "static", "static_layer": {"re2.max_program_size.error_level": 200}},
                {"name": "admin", "admin_layer": {}},
            ],
        },
    }


def _admin(address: Address) -> Json:
    return {"address": socket_address(address)}


def _most_connections(connections: int) -> dict[str, Any]:
    monitor = typed(
        "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        max_active_downstream_connections=connections,
    )
    return {"resource_monitors": [{"name": _CONNECTIONS, "typed_config": monitor}]}
