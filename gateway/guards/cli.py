"""`python -m gateway audit verify`."""

from pathlib import Path

import click

from gateway.guards.audit import verify

HASH_KEY = "GATEWAY_GUARDS__HASH_KEY"


@click.group()
def audit() -> None:
    """Look at an audit log."""


@audit.command("verify")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--hash-key", envvar=HASH_KEY, show_envvar=True, default="", help="Of the gateway.")
@click.option("--last-hash", help="The log ends with it, or goes on behind it.")
def verify_log(file: Path, hash_key: str, last_hash: str | None) -> None:
    """Say whether anything in FILE was changed, moved, added or removed.

    Exit status: 0 it is whole, 1 it is not.
    """
    verdict = verify(file, hash_key.encode())
    for fault in verdict.faults:
        click.echo(f"{file}: {fault}")
    is_cut = last_hash is not None and last_hash not in verdict.hashes
    if is_cut:
        click.echo(f"{file}: has no line with the hash {last_hash}: it was cut, or made anew")
    click.echo(
        f"{verdict.lines} lines, {len(verdict.faults)} faults, last hash {verdict.last_hash}"
    )
    click.get_current_context().exit(1 if verdict.faults or is_cut else 0)
