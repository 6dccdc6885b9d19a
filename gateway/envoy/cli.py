"""`python -m gateway render-envoy` and `python -m gateway edge`."""

import signal
import sys
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import click

from gateway.address import Address
from gateway.envoy.edge import Edge, Kind, ListenTls, ServerTls, Version, render
from gateway.envoy.process import EnvoyError, EnvoyProcess


class _AddressType(click.ParamType[Address]):
    name = "HOST:PORT"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Address:
        try:
            return value if isinstance(value, Address) else Address.parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


_ADDRESS = _AddressType()
_SECONDS = click.FloatRange(0.1)
_FIELDS = (
    "listen", "admin", "mirror", "mirror_percent", "prefix_bytes", "rate_limits",
    "body_bytes", "header_s", "request_s", "drain_s",
)  # fmt: skip
"""Options that are fields of an `Edge`."""
_FILE = click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path)


def _servers(name: str, what: str) -> Callable[..., Any]:
    return click.option(f"--{name}", type=_ADDRESS, multiple=True, help=f"{what} (repeat it).")


def _file(name: str, what: str) -> Callable[..., Any]:
    return click.option(f"--{name}", type=_FILE, help=what)


def _bound(name: str, kind: click.ParamType[Any], what: str, default: Any = None) -> Any:
    """An option; its default is that of the field of `Edge`, if that has one."""
    default = getattr(Edge, name, default)
    return click.option(f"--{name.replace('_', '-')}", type=kind, default=default, help=what)


def _edge_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds options for where the edge listens, the servers behind it, and its limits."""
    share, prefix = click.IntRange(1, 99), "bodies that begin with the same bytes"
    options = [
        _servers("gateway", "A gateway"),
        _servers("triton", "HTTP port of a Triton, instead of gateways"),
        _servers("canary", "A server of the same kind with a new version"),
        _bound("canary_percent", share, "Share of requests that canaries get.", 10),
        _servers("mirror", "A server that gets copies of requests; its answers are dropped"),
        _bound("mirror_percent", click.IntRange(1, 100), "Share of requests that mirrors get."),
        _bound("listen", _ADDRESS, "Where clients connect."),
        _bound("admin", _ADDRESS, "Envoy's admin port."),
        _file("certificate", "Serve TLS with this certificate."),
        _file("key", "Key of --certificate."),
        _file("client-ca", "Require clients' certificates, signed by it."),
        _file("server-ca", "Use TLS to the servers, with certificates signed by it."),
        click.option("--server-name", help="Name that the servers' certificates must have."),
        _file("server-certificate", "Certificate to show to the servers."),
        _file("server-key", "Key of --server-certificate."),
        _bound("prefix_bytes", click.IntRange(0), f"Send {prefix} to the same server; 0: off."),
        _bound("rate_limits", _ADDRESS, "A service of Envoy's rate limit protocol (gRPC)."),
        _bound("body_bytes", click.IntRange(1), "Most bytes of a body."),
        _bound("header_s", _SECONDS, "Seconds for a client to send the headers."),
        _bound("request_s", _SECONDS, "Seconds for a client to send a whole request."),
        _bound("drain_s", _SECONDS, "Seconds for open requests when the edge ends."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command("render-envoy")
@_edge_options
def render_envoy(**options: Any) -> None:
    """Print Envoy's configuration for several servers, as YAML."""
    click.echo(render(edge_from(options)), nl=False)


@click.command("edge")
@_edge_options
def run_edge(**options: Any) -> None:
    """Run Envoy in front of several servers until interrupted."""
    edge = edge_from(options)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    try:
        with EnvoyProcess(edge) as envoy:
            click.echo(f"edge on {edge.listen}, Envoy's admin page on {edge.admin}", err=True)
            status = envoy.wait()
    except EnvoyError as error:
        raise click.ClickException(str(error)) from error
    click.get_current_context().exit(status)


def _end(*_: object) -> None:
    """Ends the command, which drains Envoy; further signals are ignored during the drain."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(0)


def edge_from(options: dict[str, Any]) -> Edge:
    """The edge that the options of a command describe; raises click.UsageError."""
    kind, servers = _kind_and_servers(options["gateway"], options["triton"])
    admin: Address = options["admin"]
    if not _is_loopback(admin.host):
        raise click.UsageError(f"--admin {admin}: this page has no key, so give a loopback address")
    return Edge(
        kind,
        _versions(servers, options["canary"], options["canary_percent"]),
        listen_tls=_listen_tls(options),
        server_tls=_server_tls(options),
        **{name: options[name] for name in _FIELDS},
    )


def _kind_and_servers(
    gateways: Sequence[Address], tritons: Sequence[Address]
) -> tuple[Kind, tuple[Address, ...]]:
    if bool(gateways) == bool(tritons):
        raise click.UsageError("give --gateway or --triton, as often as there are servers")
    kind = Kind.GATEWAY if gateways else Kind.TRITON
    return kind, tuple(gateways or tritons)


def _versions(
    servers: tuple[Address, ...], canary: tuple[Address, ...], percent: int
) -> tuple[Version, ...]:
    if not canary:
        return (Version("stable", servers),)
    return Version("stable", servers, 100 - percent), Version("canary", canary, percent)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _listen_tls(options: dict[str, Any]) -> ListenTls | None:
    certificate, key, client_ca = (options[n] for n in ("certificate", "key", "client_ca"))
    if bool(certificate) != bool(key) or (client_ca and not certificate):
        raise click.UsageError("TLS needs --certificate and --key, --client-ca needs both")
    return ListenTls(certificate, key, client_ca) if certificate else None


def _server_tls(options: dict[str, Any]) -> ServerTls | None:
    names = ("server_ca", "server_name", "server_certificate", "server_key")
    ca, name, certificate, key = (options[n] for n in names)
    if bool(ca) != bool(name) or bool(certificate) != bool(key) or (certificate and not ca):
        raise click.UsageError(
            "TLS to servers needs --server-ca and --server-name; "
            "--server-certificate and --server-key go together, with both"
        )
    return ServerTls(ca, name, certificate, key) if ca else None
