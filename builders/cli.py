"""`python -m builders`: what the Makefile calls."""

import argparse
import contextlib
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from builders.errors import BuildError
from builders.preflight import PreflightError, faults, probe
from builders.server import ENVIRONMENT, Ports, ServerError, TritonServer, free_ports
from builders.spec import ROOT, Sku, chosen_models, load_pipeline, load_sku


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when all is well, 1 with a message when not."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.handler(options))
    except (BuildError, PreflightError, ServerError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m builders", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, handler: object, help_text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--sku", default="cpu", help="name of a file in builders/skus")
        command.set_defaults(handler=handler)
        return command

    build = add("build-engines", build_engines, "make the engines of a SKU and link them in")
    build.add_argument("--models", default="", help="specs that replace the pipeline's, by comma")
    add("render", render_files, "write config.pbtxt and model.py of every model")
    add("check", check_files, "fail with a diff where generated files are stale")
    _add_ports(add("preflight", preflight, "say what keeps this machine from serving"))
    command = add("serve", serve, "run tritonserver until interrupted")
    _add_ports(command)
    command.add_argument("--free-ports", action="store_true", help="ports that nobody uses now")
    command.add_argument("--run", metavar="COMMAND", help="run it beside the server, then stop")
    return parser


def _add_ports(command: argparse.ArgumentParser) -> None:
    for port, number in Ports().by_name().items():
        command.add_argument(f"--{port}-port", type=int, default=number, help="default %(default)s")


def build_engines(options: argparse.Namespace) -> int:
    """One line a model, with the time that it took."""
    from builders.engine import build_engine
    from builders.repository import link_engines

    sku = load_sku(options.sku)
    specs = chosen_models([name for name in options.models.split(",") if name])
    engines = []
    for number, spec in enumerate(specs, start=1):
        label = f"[{number}/{len(specs)}] {spec.role} {spec.name}"
        engine = build_engine(spec, sku, report=functools.partial(_say, f"{label}:"))
        engines.append(engine)
        how = f"made in {engine.seconds:.1f} s" if engine.seconds else "up to date"
        _say(f"{label}: {how} ({engine.folder.relative_to(ROOT)})")
    link_engines(engines, sku)
    return render_files(options)


def _say(*words: str) -> None:
    print(*words, flush=True)


def _rendered(sku: Sku) -> dict[str, str]:
    from builders.render import render

    return render(sku, load_pipeline())


def render_files(options: argparse.Namespace) -> int:
    """Says what changed, if anything."""
    from builders.repository import write

    for name in write(_rendered(load_sku(options.sku))):
        print(f"wrote model_repository/{name}")
    return 0


def check_files(options: argparse.Namespace) -> int:
    """The diff between what is on disk and what would be rendered."""
    from builders.repository import differences

    found = list(differences(_rendered(load_sku(options.sku))))
    if found:
        print("".join(found) + "\ngenerated files are stale: run 'make render'", file=sys.stderr)
    return 1 if found else 0


def _ports(options: argparse.Namespace) -> Ports:
    return Ports(options.http_port, options.grpc_port, options.metrics_port)


def preflight(options: argparse.Namespace) -> int:
    """One sentence a fault."""
    found = list(faults(probe(ENVIRONMENT), load_sku(options.sku), _ports(options).by_name()))
    print("\n".join(found) or "ready to serve")
    return 1 if found else 0


def serve(options: argparse.Namespace) -> int:
    """In the foreground, or while `--run` runs; the log goes to build/tritonserver.log."""
    log = ROOT / "build" / "tritonserver.log"
    log.parent.mkdir(exist_ok=True)
    ports = free_ports() if options.free_ports else _ports(options)
    print("starting tritonserver …", flush=True)
    start = time.monotonic()
    with _ended_by_sigterm(), TritonServer(load_sku(options.sku), ports, log) as server:
        seconds = time.monotonic() - start
        print(
            f"ready after {seconds:.1f} s: HTTP 127.0.0.1:{ports.http}, "
            f"gRPC 127.0.0.1:{ports.grpc}, metrics 127.0.0.1:{ports.metrics}; "
            f"log {log.relative_to(ROOT)}",
            flush=True,
        )
        try:
            status = _run(options.run, ports) if options.run else server.wait()
        except KeyboardInterrupt:
            status = 0
        stopped = server.stop()
    print(f"tritonserver stopped (status {stopped})", flush=True)
    return status


def _run(command: str, ports: Ports) -> int:
    """A command beside the server, which finds it by TRITON_RAG_URL and TRITON_RAG_HTTP_URL."""
    addresses = {
        "TRITON_RAG_URL": f"127.0.0.1:{ports.grpc}",
        "TRITON_RAG_HTTP_URL": f"127.0.0.1:{ports.http}",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment = os.environ | addresses
    return subprocess.run(command, shell=True, check=False, cwd=ROOT, env=environment).returncode


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends the block as Ctrl-C does, so that the server is stopped and not orphaned."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
