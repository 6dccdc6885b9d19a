"""Options that several commands share."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from triton_rag.client import Client
from triton_rag.connection import DEFAULT_URL

Command = Callable[..., int | None]


def combined(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    """Several options and arguments as one decorator, in their order in the help."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def count(name: str, what: str) -> Callable[[Command], Command]:
    return click.option(name, type=click.IntRange(min=1), metavar="N", help=what)


def _filter(_context: click.Context, _option: click.Parameter, text: str | None) -> Any:
    """The filter of `--filter`, None where it is not given."""
    try:
        found = None if text is None else json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(f"not JSON: {error}") from error
    if not isinstance(found, Mapping | None):
        raise click.BadParameter('an object is needed, such as {"type": "pdf"}')
    return found


documents_option = click.option(
    "--documents",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Folder with .md, .txt and .rst files, searched with its subfolders; or one file.",
)


def collection_option(*, required: bool) -> Callable[[Command], Command]:
    return click.option(
        "--collection", required=required, metavar="NAME", help="Collection on the server."
    )


question_options = combined(
    click.argument("question"), count("--num-sources", "Passages to return, or to answer from.")
)
filter_option = click.option(
    "--filter",
    callback=_filter,
    metavar="JSON",
    help='Only documents with this metadata: {"type": "pdf"}.',
)
sampling_options = combined(
    count("--max-tokens", "Most tokens to generate."),
    click.option(
        "--temperature", type=float, metavar="T", help="0: greedy, always the likeliest token."
    ),
    click.option("--seed", type=int, metavar="N", help="Equal seeds give equal texts."),
)
connection_options = combined(
    click.option(
        "--url",
        default=DEFAULT_URL,
        envvar="TRITON_RAG_URL",
        show_envvar=True,
        help="host:port of the server's gRPC port.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(0, float("inf"), min_open=True, max_open=True),
        default=300.0,
        metavar="SECONDS",
        help="Give up after this time.",
    ),
)
server_options = combined(
    connection_options,
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead."),
)


def calls_server(command: Command) -> Command:
    """Adds the `server_options`; the command gets a `client` for --url and --timeout."""

    @functools.wraps(command)
    def run(url: str, timeout: float, **given: Any) -> int | None:
        with Client(url, timeout_s=timeout) as client:
            return command(client, **given)

    return server_options(run)
