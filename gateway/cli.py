"""`python -m gateway`: its commands."""

import sys
from pathlib import Path
from typing import Any

import click

from gateway.access.cli import keys, show_usage
from gateway.envoy.cli import render_envoy, run_edge
from gateway.guards.cli import audit
from gateway.settings import SettingsError, load_settings

WRONG_SETTING = 2
"""The exit status, as for a wrong option."""


def main(arguments: list[str] | None = None) -> int:
    """Run one command; its exit status."""
    try:
        return int(cli.main(arguments, "python -m gateway", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except SettingsError as error:
        print(error, file=sys.stderr)
        return WRONG_SETTING
    except (KeyboardInterrupt, click.Abort):
        return 130


config_option = click.option(
    "--config", type=click.Path(dir_okay=False, path_type=Path), help="TOML file of settings."
)


@click.group(context_settings={"show_default": True, "help_option_names": ["-h", "--help"]})
def cli() -> None:
    """OpenAI's and other APIs over a running tritonserver."""


cli.add_command(keys)
cli.add_command(show_usage)
cli.add_command(audit)
cli.add_command(run_edge)
cli.add_command(render_envoy)


@cli.command()
@config_option
@click.option("--address", help="IP address to listen on. [default: 127.0.0.1]")
@click.option("--port", type=int, help="Port to listen on; 0 takes a free one. [default: 8080]")
@click.option("--triton", metavar="HOST:PORT", help="Triton's HTTP. [default: 127.0.0.1:8000]")
@click.option(
    "--drain-s", type=float, help="Seconds for open requests to finish at shutdown. [default: 30]"
)
@click.option("--metrics", metavar="HOST:PORT", help="Triton's metrics. [default: 127.0.0.1:8002]")
def serve(
    config: Path | None,
    address: str | None,
    port: int | None,
    triton: str | None,
    drain_s: float | None,
    metrics: str | None,
) -> None:
    """Serve until SIGTERM or Ctrl-C. Options override the environment, which overrides the file."""
    from gateway import server

    given: dict[str, dict[str, Any]] = {
        "listen": {"address": address, "port": port, "drain_s": drain_s},
        "triton": {"http": triton, "metrics": metrics},
    }
    server.serve(load_settings(config, options=_without_none(given)))


@cli.command("check")
@config_option
def check_settings(config: Path | None) -> None:
    """Say what is wrong with the settings, one line a fault.

    It opens ledger, audit log and folders as the gateway does, and so makes those that are missing.
    Exit status: 0 when nothing is, else 2.
    """
    from gateway import server

    server.check(load_settings(config))


def _without_none(tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
    }
