"""`python -m operations`: serve and preflight, as the Makefile calls them."""

import argparse
import ipaddress
import os
import subprocess
import sys
import time
from pathlib import Path

from builders.errors import BuildError
from builders.spec import ROOT, load_sku
from operations import serve_gpu
from operations.gpu_preflight import gpu_faults, serving_environment
from operations.interruption import ended_by_sigterm
from operations.ports import EVERY_ADDRESS, LOOPBACK, Ports, free_ports, port_faults
from operations.preflight import PreflightError, faults, probe
from operations.server import ENVIRONMENT, ServerError
from operations.supervisor.settings import HEALTH_PORT, Settings
from operations.supervisor.supervisor import Supervisor
from operations.supervisor.traces import UNTRACED, traced


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 with a message when not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.handler(options))
    except (BuildError, PreflightError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m operations", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, handler: object, help_text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--sku", default="cpu", help="name of a file in builders/skus")
        command.set_defaults(handler=handler)
        return command

    _add_ports(add("preflight", preflight, "say what keeps this machine from serving"))
    command = add("serve", serve, "run tritonserver, supervised, until interrupted")
    _add_ports(command)
    command.add_argument("--free-ports", action="store_true", help="ports that nobody uses now")
    command.add_argument(
        "--health-port", type=int, default=HEALTH_PORT, help="probes; default %(default)s"
    )
    command.add_argument(
        "--drain-s",
        type=float,
        default=Settings.drain_s,
        help="seconds for requests in flight when it ends; default %(default)s",
    )
    command.add_argument(
        "--traces", action="store_true", help="collect traces, at /traces of the health port"
    )
    command.add_argument("--run", metavar="COMMAND", help="run it beside the server, then stop")
    serve_gpu.add_arguments(command)
    return parser


def _add_ports(command: argparse.ArgumentParser) -> None:
    for port, number in Ports().by_name().items():
        command.add_argument(f"--{port}-port", type=int, default=number, help="default %(default)s")
    command.add_argument(
        "--address",
        type=_ipv4,
        default=LOOPBACK,
        help=f"to listen on; {EVERY_ADDRESS} is every one of this machine; default %(default)s",
    )


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no IPv4 address; give one of this machine, or {EVERY_ADDRESS}"
        ) from error


def _ports(options: argparse.Namespace) -> Ports:
    return Ports(options.http_port, options.grpc_port, options.metrics_port, options.address)


def _free_ports(address: str) -> Ports:
    """Raises `PreflightError` where this machine does not have the address."""
    if found := list(port_faults({"any": 0}, address)):
        raise PreflightError("\n".join(found))
    return free_ports(address)


def preflight(options: argparse.Namespace) -> int:
    """One sentence a fault."""
    sku, ports = load_sku(options.sku), _ports(options)
    if sku.gpu:
        found = list(gpu_faults(sku, ports, serving_environment()))
    else:
        found = list(faults(probe(ENVIRONMENT), sku, ports))
    print("\n".join(found) or "ready to serve")
    return 1 if found else 0


def serve(options: argparse.Namespace) -> int:
    """In the foreground, or while `--run` runs; the log goes to build/tritonserver.log.

    A GPU SKU is served in NVIDIA's container, which has the log, without the supervisor.
    """
    sku = load_sku(options.sku)
    ports = _free_ports(options.address) if options.free_ports else _ports(options)
    if sku.gpu:
        return serve_gpu.serve(sku, options, ports)
    health_port = free_ports(ports.address).http if options.free_ports else options.health_port
    log = ROOT / "build" / "tritonserver.log"
    log.parent.mkdir(exist_ok=True)
    traces = traced(health_port, ports.asked_at) if options.traces else UNTRACED
    supervisor = Supervisor(
        sku,
        ports,
        log,
        options=traces.options,
        settings=Settings(drain_s=options.drain_s),
        health_port=health_port,
        handlers=traces.handlers,
        variables=traces.variables,
    )
    print("starting tritonserver …", flush=True)
    start = time.monotonic()
    with ended_by_sigterm(), supervisor as running:
        seconds = time.monotonic() - start
        print(
            f"ready after {seconds:.1f} s: HTTP {ports.address}:{ports.http}, "
            f"gRPC {ports.address}:{ports.grpc}, metrics {ports.address}:{ports.metrics}, "
            f"probes {ports.address}:{running.health_port}; log {log.relative_to(ROOT)}",
            flush=True,
        )
        status = 0
        try:
            status = _run(options.run, ports) if options.run else running.wait()
        except KeyboardInterrupt:
            print("stopping …", flush=True)
        stopped = running.stop()
    print(f"tritonserver stopped (status {stopped})", flush=True)
    return status or stopped


def _run(command: str, ports: Ports) -> int:
    """A command beside the server, which finds it by TRITON_RAG_URL and TRITON_RAG_HTTP_URL."""
    addresses = {
        "TRITON_RAG_URL": f"{ports.asked_at}:{ports.grpc}",
        "TRITON_RAG_HTTP_URL": f"{ports.asked_at}:{ports.http}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment = os.environ | addresses
    return subprocess.run(command, shell=True, check=False, cwd=ROOT, env=environment).returncode
