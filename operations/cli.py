"""`python -m operations`: serve and preflight, as the Makefile calls them."""

import functools
import ipaddress
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from builders.errors import BuildError
from builders.spec import load_sku
from ensembles.collections import STORE_VARIABLE
from operations import gpu_server
from operations.cpu_server import ENVIRONMENT, CpuServer
from operations.gateway_process import LOG_NAME as GATEWAY_LOG
from operations.gateway_process import PORT as GATEWAY_PORT
from operations.gateway_process import GatewayProcess
from operations.gpu_preflight import gpu_faults, serving_environment
from operations.ports import (
    EVERY_ADDRESS,
    HEALTH_PORT,
    LOOPBACK,
    Ports,
    equal_ports,
    free_ports,
    port_faults,
)
from operations.preflight import WORK_FOLDER, PreflightError, faults, probe, require_none
from operations.serve import serve_supervised
from operations.supervisor.settings import SupervisorSettings
from operations.triton_process import DEFAULT_COLLECTOR, ServerError, trace_options

LOG_NAME = "tritonserver.log"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        return int(cli.main(arguments, "python -m operations", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (BuildError, PreflightError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:  # such as a file that this account may not read
        print(f"{error.filename or 'the machine'}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, click.Abort):  # before the server was up
        return 130


def _ipv4(_context: click.Context, _option: click.Parameter, text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not an IPv4 address; give one of this machine, or {EVERY_ADDRESS}"
        ) from error


def _collector(ctx: click.Context, param: click.Parameter, text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise click.BadParameter(f"{text!r} is not a URL, such as {DEFAULT_COLLECTOR}")
    return text


def _store(ctx: click.Context, param: click.Parameter, place: str) -> str:
    scheme, is_url, _ = place.partition("://")
    if is_url and scheme not in ("postgresql", "postgres"):
        raise click.BadParameter(f"'{scheme}://…' given; a folder or postgresql:// is possible")
    return place


_PORT = click.IntRange(1, 65535)
_PORTS_HELP = {
    "http": "Triton's HTTP port.",
    "grpc": "Triton's gRPC port.",
    "metrics": "Triton's port for metrics.",
}


def _shared_options(command: Callable[..., int]) -> Callable[..., int]:
    """Adds options whose values the command gets as `sku`, `ports` and `work_folder`."""

    @functools.wraps(command)
    def with_ports(
        http_port: int, grpc_port: int, metrics_port: int, address: str, **rest: Any
    ) -> int:
        return command(ports=Ports(http_port, grpc_port, metrics_port, address), **rest)

    options = [
        click.option("--sku", default="cpu", help="Name of a file in builders/skus."),
        *(
            click.option(f"--{name}-port", type=_PORT, default=number, help=_PORTS_HELP[name])
            for name, number in Ports().by_name().items()
        ),
        click.option(
            "--address",
            default=LOOPBACK,
            callback=_ipv4,
            help=f"IPv4 address to listen on; {EVERY_ADDRESS} is every one of this machine.",
        ),
        click.option(
            "--work-folder",
            type=click.Path(file_okay=False, resolve_path=True, path_type=Path),
            default=WORK_FOLDER,
            show_default="build/",
            help="Folder for logs, uploaded files and (cpu SKU) collections.",
        ),
    ]
    made: Callable[..., int] = with_ports
    for option in reversed(options):
        made = option(made)
    return made


@click.group(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Serve the models, or say what keeps this machine from it."""


@cli.command()
@_shared_options
def preflight(sku: str, ports: Ports, work_folder: Path) -> int:
    """Say what keeps this machine from serving.

    Exit status: 0 ready to serve, 1 not.
    """
    asked = load_sku(sku)
    if asked.gpu:
        found = list(gpu_faults(asked, ports, serving_environment()))
    else:
        found = list(faults(probe(ENVIRONMENT), asked, ports, folder=work_folder))
    print("\n".join(found) or "ready to serve")
    return 1 if found else 0


@cli.command()
@_shared_options
@click.option("--free-ports", "free", is_flag=True, help="Take free ports instead.")
@click.option("--health-port", type=_PORT, default=HEALTH_PORT, help="Port of the probes.")
@click.option(
    "--drain-s",
    type=click.FloatRange(0, min_open=True),
    default=SupervisorSettings.drain_s,
    help="Seconds for requests in flight when the server ends.",
)
@click.option(
    "--traces",
    metavar="[URL]",
    is_flag=False,
    flag_value=DEFAULT_COLLECTOR,
    default="",
    show_default=False,
    callback=_collector,
    help=f"Send spans to a collector of OTLP over HTTP; without a URL: {DEFAULT_COLLECTOR}.",
)
@click.option("--gateway/--no-gateway", "with_gateway", default=True, help="Start the gateway too.")
@click.option("--gateway-port", type=_PORT, default=GATEWAY_PORT, help="Port of the gateway.")
@click.option(
    "--gateway-config",
    type=click.Path(exists=True, dir_okay=False, resolve_path=True, path_type=Path),
    help="TOML file of its settings (docs/gateway-settings.md).",
)
@click.option(
    "--collections",
    envvar=STORE_VARIABLE,
    metavar="PLACE",
    default="",
    show_default="collections in the work folder",
    callback=_store,
    help="cpu SKU: a folder, or a postgresql:// URL (better in the variable "
    f"{STORE_VARIABLE}: others see a command line).",
)
@click.option(
    "--run",
    metavar="COMMAND",
    default="",
    show_default=False,
    help="Run COMMAND when the server is ready, then stop.",
)
@click.option("--print", "print_only", is_flag=True, help="GPU SKUs: print commands, run nothing.")
@click.option("--gpus", help="GPU SKUs: 'all', or indexes or UUIDs by comma; default: the first.")
def serve(
    sku: str,
    ports: Ports,
    work_folder: Path,
    free: bool,
    health_port: int,
    drain_s: float,
    traces: str,
    with_gateway: bool,
    gateway_port: int,
    gateway_config: Path | None,
    collections: str,
    run: str,
    **gpu_options: Any,
) -> int:
    """Run tritonserver and the gateway until interrupted.

    The logs are tritonserver.log (of the cpu SKU) and gateway.log in the work folder. A GPU SKU is
    served in NVIDIA's container, and the gateway runs beside it.

    Exit status: 0 when every request was answered before the end (and --run ended with 0), else 1.
    """
    asked = load_sku(sku)
    if free:
        require_none(port_faults({"any": 0}, ports.address))
        ports, others = free_ports(ports.address), free_ports(ports.address)
        health_port, gateway_port = others.http, others.grpc
    beside = {"gateway": gateway_port} if with_gateway else {}
    require_none(equal_ports(ports.by_name() | {"health": health_port} | beside))
    options, traced = trace_options(traces)
    gateway = None
    if with_gateway:
        log = work_folder / GATEWAY_LOG
        gateway = GatewayProcess(ports, log, gateway_port, gateway_config, drain_s, traced)
        gateway.check()
        if not asked.gpu:
            require_none(port_faults(beside))
    if asked.gpu:
        if run:
            raise BuildError("--run is for the cpu SKU; start the server, then what shall use it")
        return gpu_server.serve(
            asked,
            ports,
            gateway,
            health_port=health_port,
            drain_s=drain_s,
            traces=traces,
            **gpu_options,
        )
    place = {STORE_VARIABLE: collections} if collections else {}
    server = CpuServer(
        asked, ports, work_folder / LOG_NAME, options=options, variables=traced | place
    )
    return serve_supervised(server, SupervisorSettings(drain_s=drain_s), health_port, run, gateway)
