"""What every key used of every model: a SQLite file that stays when the gateway ends.

Entries are summed in memory and written together, in the background; they count as written when the
commit is on disk. A killed gateway loses what it has not written: half a second.
"""

import asyncio
import contextlib
import logging
import sqlite3
import time
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from gateway.call import Caller

_LOG = logging.getLogger(__name__)

WRITE_EVERY_S = 0.5
HOUR_S = 3600


@dataclass(frozen=True, slots=True)
class Amounts:
    """Sums; tokens of refused requests are bounds, all others are the models' own counts.

    A request that failed before its model counted the input is booked with the bound of its input.
    """

    requests: int = 0
    rejected_requests: int = 0
    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    rejected_tokens: int = 0

    def plus(self, other: "Amounts") -> "Amounts":
        return Amounts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Account:
    """The key by which amounts are summed; `hour` is in hours since 1970."""

    hour: int
    tenant: str
    key_id: str
    model: str


@dataclass(frozen=True, slots=True)
class Used:
    """What one key used of one model."""

    tenant: str
    key_id: str
    model: str
    amounts: Amounts


class LedgerError(Exception):
    """The file can't be used as a ledger."""


_ACCOUNT = ", ".join(field.name for field in fields(Account))
_AMOUNTS = tuple(field.name for field in fields(Amounts))
_CREATE = f"""
create table if not exists usage (
  hour integer not null, tenant text not null, key_id text not null, model text not null,
  {", ".join(f"{name} integer not null" for name in _AMOUNTS)},
  primary key (hour, tenant, key_id, model)
) without rowid"""
_ADD = f"""
insert into usage values (?, ?, ?, ?, {", ".join("?" for _ in _AMOUNTS)})
on conflict ({_ACCOUNT}) do update set
{", ".join(f"{name} = {name} + excluded.{name}" for name in _AMOUNTS)}"""
_SUM = f"""
select tenant, key_id, model, {", ".join(f"sum({name})" for name in _AMOUNTS)} from usage
where hour >= :since and :key in ('', key_id) and :model in ('', model)
group by tenant, key_id, model order by tenant, key_id, model"""


class Ledger:
    """Collects amounts and writes them; several gateways of one machine may share the file."""

    def __init__(self, path: Path) -> None:
        """Raises LedgerError for a file that can't be written."""
        self._file = _opened(path)
        self._pending: dict[Account, Amounts] = {}
        self._ending = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None

    def add(self, caller: Caller, model: str, amounts: Amounts) -> None:
        """Add amounts to be written later; doesn't wait, and needs a running event loop."""
        self._collect(
            Account(int(time.time()) // HOUR_S, caller.tenant, caller.key_id, model), amounts
        )
        if self._writer is None:
            self._writer = asyncio.create_task(self._write_always())

    async def close(self) -> None:
        """Write what is left, then close the file."""
        self._ending.set()
        if self._writer is not None:
            await self._writer
        self._file.close()

    def _collect(self, account: Account, amounts: Amounts) -> None:
        self._pending[account] = self._pending.get(account, Amounts()).plus(amounts)

    async def _write_always(self) -> None:
        is_ending = False
        while not is_ending:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._ending.wait(), WRITE_EVERY_S)
            is_ending = self._ending.is_set()
            await self._write()

    async def _write(self) -> None:
        pending, self._pending = self._pending, {}
        try:
            if pending:
                await asyncio.to_thread(_write, self._file, pending)
        except sqlite3.Error as error:
            _LOG.error("the ledger can't be written, and will be tried again: %s", error)
            for account, amounts in pending.items():
                self._collect(account, amounts)


def usage(path: Path, since_hour: int = 0, key_id: str = "", model: str = "") -> list[Used]:
    """Sums by tenant, key and model, of one key or model if it is given; raises LedgerError."""
    if not path.exists():
        raise LedgerError(f"{path}: there is no such ledger")
    with contextlib.closing(_opened(path)) as file:
        asked = {"since": since_hour, "key": key_id, "model": model}
        rows = file.execute(_SUM, asked).fetchall()
    return [Used(tenant, key, name, Amounts(*sums)) for tenant, key, name, *sums in rows]


def _opened(path: Path) -> sqlite3.Connection:
    try:
        # Different threads write, but only one at a time.
        file = sqlite3.connect(path, timeout=10, check_same_thread=False, isolation_level=None)
        file.execute("pragma journal_mode = wal")
        file.execute("pragma synchronous = full")
        file.execute(_CREATE)
    except sqlite3.Error as error:
        raise LedgerError(f"{path}: {_why(path) or error}") from None
    return file


def _why(path: Path) -> str:
    """What is wrong with a path, which SQLite's error does not say; empty if nothing is."""
    if path.is_dir():
        return "is a folder; a file is needed"
    return "" if path.parent.is_dir() else "its folder does not exist"


def _write(file: sqlite3.Connection, pending: dict[Account, Amounts]) -> None:
    """Writes all or nothing, in one transaction."""
    file.execute("begin immediate")
    try:
        file.executemany(_ADD, [astuple(key) + astuple(value) for key, value in pending.items()])
        file.execute("commit")
    except sqlite3.Error:
        if file.in_transaction:  # on a full disk SQLite has ended the transaction itself
            file.execute("rollback")
        raise
