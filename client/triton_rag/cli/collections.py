"""`collections`: lists, shows and deletes collections."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict

import click

from triton_rag.cli.commands import triton_rag
from triton_rag.cli.options import calls_server
from triton_rag.cli.output import print_json, printable
from triton_rag.client import Client
from triton_rag.collections import Collection

COLUMNS = ("collection", "documents", "passages", "size", "changed", "embedder")


@triton_rag.command()
@click.argument("name", required=False)
@click.option("--delete", "is_deleted", is_flag=True, help="Delete it, after asking.")
@click.option("--yes", is_flag=True, help="Don't ask.")
@calls_server
def collections(
    client: Client, name: str | None, is_deleted: bool, yes: bool, as_json: bool
) -> None:
    """List the server's collections; show or delete NAME."""
    if name is None:
        if is_deleted:
            raise click.UsageError("--delete needs the NAME of a collection")
        _list(client.collections(), as_json)
        return
    found = client.collection(name)
    if is_deleted:
        what = f"'{name}' with {found.documents:,} documents, {found.passages:,} passages"
        if not yes:
            click.confirm(f"Delete collection {what}?", abort=True, err=True)
        client.delete_collection(name)
    if as_json:
        print_json(asdict(found))
    else:
        click.echo(f"deleted {what}" if is_deleted else "\n".join(_details(found)))


def _list(found: Sequence[Collection], as_json: bool) -> None:
    if as_json:
        print_json([asdict(one) for one in found])
    elif not found:
        click.echo("no collections yet; make one with: triton-rag ingest FOLDER --collection NAME")
    else:
        click.echo("\n".join(_lines(found)))


def _details(found: Collection) -> Iterator[str]:
    """Lines about a collection, with the fields that filters can name."""
    if found.fault:
        yield f"{found.name}  {printable(found.fault)}"
        return
    for column, cell in zip(COLUMNS, _cells(found), strict=True):
        yield f"{column:11}{cell}"
    yield f"{'dimension':11}{found.dimension}"
    fields = ", ".join(f"{field} ({kind})" for field, kind in sorted(found.fields.items()))
    yield f"{'filters':11}{printable(fields) or 'none'}"
    if found.embedder != found.served_embedder:
        yield f"the server's embedder is {found.served_embedder}: it can't be searched"


def age(seconds: float) -> str:
    """A time ago in the largest unit of which it has at least one."""
    for unit, length in (("day", 86_400), ("hour", 3_600), ("minute", 60)):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {unit}{'s' * (count != 1)} ago"
    return "just now"


def size(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.1f} MiB"


def _cells(one: Collection) -> tuple[str, ...]:
    if one.fault:
        return (one.name, "-", "-", "-", "-", printable(one.fault))
    changed = age(time.time() - one.updated_s)
    counts = f"{one.documents:,}", f"{one.passages:,}"
    return (one.name, *counts, size(one.size_bytes), changed, printable(one.embedder))


def _lines(found: Sequence[Collection]) -> Iterator[str]:
    for one in found:
        name, documents, passages, bytes_, changed, embedder = _cells(one)
        counts = f"{documents} documents, {passages} passages, {bytes_}, changed {changed}, "
        yield f"{name}  {'' if one.fault else counts}{embedder}"
