"""An edge: where it listens, which servers are behind it, and its limits."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.address import Address

_LISTEN, _ADMIN = Address("127.0.0.1", 8090), Address("127.0.0.1", 9901)

_HERE = Path(__file__).parent


class Kind(Enum):
    """Which servers are behind the edge; the value is the path of their readiness probe."""

    GATEWAY = "/readyz"
    TRITON = "/v2/health/ready"


@dataclass(frozen=True)
class Version:
    """Servers that get `percent` of the requests: all servers, or a canary beside the others."""

    name: str
    servers: tuple[Address, ...]
    percent: int = 100


@dataclass(frozen=True)
class ListenTls:
    """The certificate that clients get; with `client_ca` they must send one too (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True)
class ServerTls:
    """TLS to the servers, whose certificates are from `ca` and for `server_name`.

    With `certificate` and `key` the edge sends one too (mTLS).
    """

    ca: Path
    server_name: str
    certificate: Path | None = None
    key: Path | None = None


@dataclass(frozen=True)
class Edge:
    """One Envoy.

    Requests with the same value of `x-session-id`, or else of `x-prompt-prefix`, go to the same
    server, which has their prefix in its cache. Others go to the server with the fewest requests.
    """

    kind: Kind
    versions: tuple[Version, ...]
    """The versions of the servers; their percentages add up to 100."""
    listen: Address = _LISTEN
    admin: Address = _ADMIN
    """Address of Envoy's admin interface, which needs no key: so it must be a loopback address."""
    mirror: tuple[Address, ...] = ()
    """Servers that get a copy of `mirror_percent` of the requests; their answers are dropped."""
    mirror_percent: int = 100
    listen_tls: ListenTls | None = None
    server_tls: ServerTls | None = None
    prefix_bytes: int = 0
    """How many first bytes of a body the edge hashes into `x-prompt-prefix`; 0: it does not."""
    rate_limits: Address | None = None
    """Address of Envoy's rate limit service, which is asked about every request."""
    body_bytes: int = 16 * 1024 * 1024
    header_s: float = 10.0
    """Time for a client to send the headers of a request (slow loris)."""
    request_s: float = 60.0
    """Time for a client to send a whole request."""
    drain_s: float = 30.0
    """Time for running requests when the edge ends."""

    @property
    def clusters(self) -> Iterator[tuple[str, tuple[Address, ...], bool]]:
        """Clusters: name, servers, whether a hash chooses; two per version, one of the mirror."""
        for version in self.versions:
            yield f"{version.name}-by-load", version.servers, False
            yield f"{version.name}-by-hash", version.servers, True
        if self.mirror:
            yield "mirror", self.mirror, False


def render(edge: Edge) -> str:
    """The configuration file of `envoy --config-path`, YAML: a template, filled in."""
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        variable_start_string="<<",
        variable_end_string=">>",
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["seconds"] = "{:g}s".format
    scripts = {
        name: (_HERE / f"{name}.lua").read_text(encoding="utf-8") for name in ("key_hash", "prefix")
    }
    template = environment.get_template("edge.yaml.j2")
    return template.render(edge=edge, **scripts)
