"""Addresses and ports at which servers listen."""

import errno
import os
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

LOOPBACK = "127.0.0.1"
EVERY_ADDRESS = "0.0.0.0"
HEALTH_PORT = 8003
"""Port of the supervisor's /livez, /readyz and /metrics; Triton's are 8000 to 8002."""


@dataclass(frozen=True)
class Ports:
    """Where tritonserver listens; `address` is IPv4, 0.0.0.0 for all addresses of the machine."""

    http: int = 8000
    grpc: int = 8001
    metrics: int = 8002
    address: str = LOOPBACK

    @property
    def asked_at(self) -> str:
        """The address that clients on this machine use."""
        return LOOPBACK if self.address == EVERY_ADDRESS else self.address

    def by_name(self) -> dict[str, int]:
        """The ports under their names in messages."""
        return {"http": self.http, "grpc": self.grpc, "metrics": self.metrics}


def without_proxy(address: str) -> dict[str, str]:
    """Variables for programs (gRPC, curl) that call this machine: a proxy would call itself."""
    direct = [os.environ.get("no_proxy") or os.environ.get("NO_PROXY"), "localhost", address]
    return dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(filter(None, direct)))


def free_ports(address: str = LOOPBACK) -> Ports:
    """Ports that are free now; another process may still take one before they are used."""
    sockets = [socket.socket() for _ in range(3)]
    for each in sockets:
        each.bind((address, 0))
    http, grpc, metrics = (each.getsockname()[1] for each in sockets)
    for each in sockets:
        each.close()
    return Ports(http, grpc, metrics, address)


def equal_ports(numbers: Mapping[str, int]) -> Iterator[str]:
    """A sentence for each port that is given twice."""
    names: dict[int, str] = {}
    for name, port in numbers.items():
        if port in names:
            yield (
                f"port {port} is given for {names[port]} and for {name}; "
                f"choose another with --{name}-port"
            )
        names.setdefault(port, name)


def port_faults(numbers: Mapping[str, int], address: str = LOOPBACK) -> Iterator[str]:
    """A sentence for each port that is given twice or taken, or for another machine's address."""
    yield from equal_ports(numbers)
    for name, port in numbers.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if error.errno == errno.EADDRNOTAVAIL:
                    yield f"{address} is not this machine's address; {EVERY_ADDRESS} is every one"
                    return
                yield f"port {port} ({name}) is taken; choose others with --{name}-port"
