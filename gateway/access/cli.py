"""`python -m gateway keys …` and `python -m gateway usage`."""

import asyncio
import json
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import click
from pydantic import ValidationError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from gateway.access.key_store import KeyStore, KeyStoreError
from gateway.access.key_stores import open_key_store
from gateway.access.keys import Key, new_key_id, new_secret, token
from gateway.access.ledger import HOUR_S, Amounts, LedgerError, usage
from gateway.access.tiers import DEFAULT_TIER, Limits

_UNITS_S = {"s": 1, "m": 60, "h": HOUR_S, "d": 24 * HOUR_S}


class Duration(click.ParamType[timedelta]):
    """A time such as 90s, 30m, 24h or 7d."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d+)([smhd])", str(value))
        if not found:
            self.fail(f"{value!r} is not a duration; write 90s, 30m, 24h or 7d", param, ctx)
        return timedelta(seconds=int(found[1]) * _UNITS_S[found[2]])


keys_option = click.option(
    "--keys",
    "where",
    envvar="GATEWAY_ACCESS__KEYS",
    required=True,
    metavar="FILE|URL",
    help="Key file or PostgreSQL URL, as in the settings.  [env: GATEWAY_ACCESS__KEYS]",
)


@click.group()
def keys() -> None:
    """Make, list, disable and rotate API keys."""


@keys.command()
@keys_option
@click.option("--tenant", required=True, help="Owner of the key; tenants share the models fairly.")
@click.option("--name", default="", show_default=False, help="What the key is for.")
@click.option("--tier", default=DEFAULT_TIER, help="A tier of the settings.")
@click.option("--model", "models", multiple=True, help="A model, or a pattern. [default: all]")
@click.option(
    "--route",
    "routes",
    multiple=True,
    help="A path, or a pattern. [default: all but /metrics and Triton's own, /v2/*]",
)
@click.option("--expires-in", type=Duration(), help="Lifetime, such as 90d. [default: no end]")
@click.option("--requests-per-minute", type=click.IntRange(1), help="Most requests in 60 s.")
@click.option("--tokens-per-minute", type=click.IntRange(1), help="Most tokens in 60 s.")
@click.option("--concurrent-streams", type=click.IntRange(1), help="Most answers at a time.")
@click.option("--max-tokens", type=click.IntRange(1), help="Most tokens of an answer.")
@click.option("--max-input-tokens", type=click.IntRange(1), help="Most tokens of a prompt.")
def create(
    where: str,
    tenant: str,
    name: str,
    tier: str,
    models: tuple[str, ...],
    routes: tuple[str, ...],
    expires_in: timedelta | None,
    **limits: int | None,
) -> None:
    """Make a key and print it, once."""
    secret, stored = new_secret()
    now = datetime.now(UTC)
    try:
        key = Key(
            id=new_key_id(),
            tenant=tenant,
            name=name,
            tier=tier,
            secrets=(stored,),
            models=models or ("*",),
            routes=routes or ("*",),
            created=now,
            expires=now + expires_in if expires_in else None,
            limits=Limits(**limits),
        )
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise click.UsageError(f"--{fault['loc'][0]}: {fault['msg']}") from None
    _with_store(where, lambda store: store.add(key))
    _show_token(key, secret)


@keys.command("list")
@keys_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_keys(where: str, as_json: bool) -> None:
    """List keys, without their secrets."""
    found = _with_store(where, lambda store: store.list())
    if as_json:
        hidden = {"secrets"}
        print(json.dumps([key.model_dump(mode="json", exclude=hidden) for key in found], indent=2))
        return
    if not found:
        click.echo("there are no keys; 'keys create' makes one", err=True)
        return
    columns = ("id", "state", "tenant", "name", "tier", "models", "routes", "limits")
    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for column in table.columns:
        column.overflow, column.no_wrap = "fold", column.header in ("id", "state", "routes")
    for key in found:
        limits = key.limits.model_dump(exclude_none=True).items()
        own = (f"{name} {value}".replace("_", " ") for name, value in limits)
        scopes = ("\n".join(key.models), "\n".join(key.routes), "\n".join(own))
        table.add_row(key.id, _state(key), key.tenant, key.name, key.tier, *scopes)
    Console().print(table)


@keys.command()
@keys_option
@click.argument("key_id")
def disable(where: str, key_id: str) -> None:
    """Refuse a key from its next request on."""
    _change(where, key_id, lambda key: key.model_copy(update={"disabled": True}))
    print(f"key {key_id} is disabled")


@keys.command()
@keys_option
@click.argument("key_id")
@click.option(
    "--overlap",
    type=Duration(),
    default="24h",
    help="How long the old secret stays valid; 0s: not at all.",
)
def rotate(where: str, key_id: str, overlap: timedelta) -> None:
    """Give a key a new secret and print it, once."""
    secret, stored = new_secret()
    end = datetime.now(UTC) + overlap

    def rotated(key: Key) -> Key:
        ends = [min(old.expires or end, end) for old in key.secrets]
        old = [
            one.model_copy(update={"expires": at})
            for one, at in zip(key.secrets, ends, strict=True)
        ]
        live = [one for one, at in zip(old, ends, strict=True) if at > datetime.now(UTC)]
        return key.model_copy(update={"secrets": (stored, *live)})

    key = _change(where, key_id, rotated)
    _show_token(key, secret)


@click.command("usage")
@click.option(
    "--ledger",
    envvar="GATEWAY_ACCESS__LEDGER",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The ledger; the settings name the same one.  [env: GATEWAY_ACCESS__LEDGER]",
)
@click.option("--since", type=Duration(), help="Only the last 24h, 30d, …, in whole hours.")
@click.option("--key", "key_id", default="", show_default=False, help="Only this key id.")
@click.option("--model", default="", show_default=False, help="Only this model.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show_usage(
    ledger: Path, since: timedelta | None, key_id: str, model: str, as_json: bool
) -> None:
    """Sum what every key used of every model."""
    hour = int(time.time() - since.total_seconds()) // HOUR_S if since else 0
    with _reported():
        rows = usage(ledger, hour, key_id, model)
    if as_json:
        flat = [{"tenant": row.tenant, "key": row.key_id, "model": row.model} for row in rows]
        print(json.dumps([at | asdict(row.amounts) for at, row in zip(flat, rows, strict=True)]))
        return
    table = Table("tenant", "key", "model", "requests", "rejected", box=SIMPLE_HEAD, pad_edge=False)
    for name in ("input", "cached", "output", "rejected tokens"):
        table.add_column(name, justify="right")
    total = Amounts()
    for row in rows:
        table.add_row(row.tenant, row.key_id, row.model, *_cells(row.amounts))
        total = total.plus(row.amounts)
    table.add_section()
    table.add_row("all", "", "", *_cells(total))
    Console().print(table)


def _cells(amounts: Amounts) -> list[str]:
    return [f"{value:,}" for value in asdict(amounts).values()]


def _state(key: Key) -> str:
    if key.disabled:
        return "disabled"
    if key.expires is None:
        return "on"
    now = datetime.now(UTC)
    return ("expired " if key.has_expired(now) else "on until ") + f"{key.expires:%Y-%m-%d}"


def _change(where: str, key_id: str, how: Callable[[Key], Key]) -> Key:
    async def change(store: KeyStore) -> Key:
        try:
            return await store.change(key_id, how)
        except KeyError:
            known = ", ".join(key.id for key in await store.list()) or "none"
            raise click.ClickException(f"key {key_id}: unknown; there are {known}") from None

    return _with_store(where, change)


_Result = TypeVar("_Result")


def _with_store(where: str, action: Callable[[KeyStore], Awaitable[_Result]]) -> _Result:
    async def run() -> _Result:
        store = await open_key_store(where)
        try:
            return await action(store)
        finally:
            await store.close()

    with _reported():
        return asyncio.run(run())


@contextmanager
def _reported() -> Iterator[None]:
    try:
        yield
    except (KeyStoreError, LedgerError, OSError) as error:
        raise click.ClickException(str(error)) from None


def _show_token(key: Key, secret: str) -> None:
    """Print a key; only its token goes to stdout, so that a program can read it."""
    click.echo(f"key {key.id} of tenant {key.tenant}; it is shown this once:", err=True)
    print(token(key.id, secret))
