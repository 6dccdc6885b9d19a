"""Small parts of Envoy's configuration that several others are made of."""

from pathlib import Path
from typing import Any

from gateway.envoy.edge import Address

Json = dict[str, Any]


def typed(message: str, **fields: Any) -> Json:
    """An `Any` that holds this message."""
    return {"@type": f"type.googleapis.com/{message}", **fields}


def extension(name: str, message: str, **fields: Any) -> Json:
    """A filter, logger or transport socket with its configuration."""
    return {"name": name, "typed_config": typed(message, **fields)}


def socket_address(address: Address) -> Json:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def seconds(value: float) -> str:
    """A `Duration`."""
    return f"{value:g}s"


def file(path: Path) -> Json:
    """A `DataSource` that is read when Envoy starts."""
    return {"filename": str(path)}


def certificate(path: Path, key: Path) -> Json:
    return {"certificate_chain": file(path), "private_key": file(key)}
