"""Keys in PostgreSQL: one table for all gateways.

A gateway holds all keys in memory, so a look-up is no query. A trigger notifies it of every change
(LISTEN): a key that was disabled, by our commands or in SQL, is refused within moments.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeAlias

import psycopg
from psycopg.types.json import Jsonb
from pydantic import ValidationError

from gateway.access.key_store import KeyStoreError
from gateway.access.keys import Key

_LOG = logging.getLogger(__name__)

_RETRY_S = 1.0
_LOOK_AGAIN_S = 30.0
"""The keys are read again after this time even without a notice: a dead connection brings none."""

_CREATE = """
create table if not exists gateway_keys (id text primary key, key jsonb not null);
create or replace function gateway_keys_changed() returns trigger language plpgsql as
  $$ begin perform pg_notify('gateway_keys', ''); return null; end $$;
create or replace trigger gateway_keys_changed
  after insert or update or delete or truncate on gateway_keys
  for each statement execute function gateway_keys_changed();
"""

_Connection: TypeAlias = "psycopg.AsyncConnection[tuple[Any, ...]]"


class PostgresKeyStore:
    """Keys of the database at `url`: postgresql://user:password@host/database.

    While the database is away the last keys stay valid, and the log has an error.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, Key] = {}
        self._following: asyncio.Task[None] | None = None

    async def connect(self) -> "PostgresKeyStore":
        """Makes the table if it is not there and reads it; raises KeyStoreError."""
        async with self._connected() as connection:
            await connection.execute(_CREATE)
            await self._read(connection)
        self._following = asyncio.create_task(self._follow())
        return self

    async def find(self, key_id: str) -> Key | None:
        return self._keys.get(key_id)

    async def list(self) -> tuple[Key, ...]:
        return tuple(self._keys.values())

    async def add(self, key: Key) -> None:
        async with self._connected() as connection:
            await connection.execute(
                "insert into gateway_keys values (%s, %s)", (key.id, _stored(key))
            )

    async def change(self, key_id: str, how: Callable[[Key], Key]) -> Key:
        async with self._connected() as connection, connection.transaction():
            asked = "select key from gateway_keys where id = %s for update"
            row = await (await connection.execute(asked, (key_id,))).fetchone()
            if row is None:
                raise KeyError(key_id)
            changed = how(Key.model_validate(row[0]))
            update = "update gateway_keys set key = %s where id = %s"
            await connection.execute(update, (_stored(changed), key_id))
        return changed

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following

    @contextlib.asynccontextmanager
    async def _connected(self) -> AsyncIterator[_Connection]:
        """A connection of its own; its errors are KeyStoreError, without the URL's password."""
        try:
            async with await psycopg.AsyncConnection.connect(
                self._url, autocommit=True, connect_timeout=5
            ) as connection:
                yield connection
        except psycopg.Error as error:
            raise KeyStoreError(
                f"the database of the keys: {' '.join(str(error).split())}"
            ) from None

    async def _read(self, connection: _Connection) -> None:
        rows = await (await connection.execute("select id, key from gateway_keys")).fetchall()
        try:
            self._keys = {key_id: Key.model_validate(stored) for key_id, stored in rows}
        except ValidationError as error:
            fault = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(map(str, fault["loc"]))
            raise KeyStoreError(f"gateway_keys: {where}: {fault['msg']}") from None

    async def _follow(self) -> None:
        """Reads the keys again whenever they change, until it is cancelled."""
        while True:
            try:
                async with self._connected() as connection:
                    await connection.execute("listen gateway_keys")
                    while True:
                        await self._read(connection)
                        async for _ in connection.notifies(timeout=_LOOK_AGAIN_S, stop_after=1):
                            pass
            except KeyStoreError as error:
                _LOG.error("the keys can't be read; the last ones stay: %s", error)
            await asyncio.sleep(_RETRY_S)


def _stored(key: Key) -> Jsonb:
    return Jsonb(key.model_dump(mode="json", exclude_defaults=True))
