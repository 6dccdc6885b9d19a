"""Opens the keys where the settings or a command say they are."""

from pathlib import Path

from gateway.access.key_store import FileKeyStore, KeyStore

POSTGRES = ("postgresql://", "postgres://")


async def open_key_store(where: str) -> KeyStore:
    """A file, or the URL of a PostgreSQL database; raises KeyStoreError."""
    if not where.startswith(POSTGRES):
        return FileKeyStore(Path(where))
    from gateway.access.postgres_keys import PostgresKeyStore

    return await PostgresKeyStore(where).connect()
