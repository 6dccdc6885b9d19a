"""`python -m gateway audit verify`."""

from pathlib import Path

import click

from gateway.guards.audit import FIRST, verify

HASH_KEY = "GATEWAY_GUARDS__HASH_KEY"
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group()
def audit() -> None:
    """Look at an audit log."""


@audit.command("verify")
@click.argument("files", nargs=-1, required=True, type=_FILE)
@click.option("--hash-key", envvar=HASH_KEY, show_envvar=True, help="The gateway's.")
@click.option("--last-hash", help="A hash that the log must have, noted before.")
def verify_log(files: tuple[Path, ...], hash_key: str | None, last_hash: str | None) -> None:
    """Say whether FILES were changed after they were written.

    A log that was moved away goes on in the next file: the oldest comes first.

    Exit status: 0 it is whole, 1 it is not.
    """
    lines = faults = sequence = 0
    last, has_hash = FIRST, last_hash is None
    for file in files:
        verdict = verify(file, (hash_key or "").encode(), last, sequence)
        for fault in verdict.faults:
            click.echo(f"{file}: {fault}")
        lines, faults = lines + verdict.lines, faults + len(verdict.faults)
        last, sequence = verdict.last_hash, verdict.sequence
        has_hash = has_hash or last_hash in verdict.hashes
    if not has_hash:
        click.echo(f"{files[-1]}: has no line with the hash {last_hash}: it was cut, or made anew")
    click.echo(f"{lines} lines, {faults} faults, last hash {last}")
    click.get_current_context().exit(0 if has_hash and not faults else 1)
