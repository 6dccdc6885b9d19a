"""Opens the store of keys that the settings or a command name."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from gateway.access.key_store import FileKeyStore, KeyStore, KeyStoreError

POSTGRES = ("postgresql://", "postgres://")
_NEEDED = "a file, or postgresql://user:password@host:port/database, is needed"


def is_database(where: str) -> bool:
    """Whether `where` is the URL of a database, and no file."""
    return where.startswith(POSTGRES)


def _checked(where: str) -> str:
    if not _is_possible(where):
        raise PydanticCustomError("keys_url", _NEEDED)
    return where


def _is_possible(where: str) -> bool:
    return "://" not in where or (is_database(where) and _is_url(where))


def _is_url(where: str) -> bool:
    from psycopg import ProgrammingError
    from psycopg.conninfo import conninfo_to_dict

    try:
        ports = str(conninfo_to_dict(where).get("port") or 5432).split(",")
        return all(0 < int(port) < 65536 for port in ports)
    except (ProgrammingError, ValueError):
        return False


Keys = Annotated[str, AfterValidator(_checked)]
"""A setting; messages about faults don't repeat it: it may hold a password."""


async def open_key_store(where: str) -> KeyStore:
    """The keys in a file, or at the URL of a PostgreSQL database; raises KeyStoreError."""
    if not _is_possible(where):
        raise KeyStoreError(_NEEDED)
    if not is_database(where):
        return FileKeyStore(Path(where))
    from gateway.access.postgres_keys import PostgresKeyStore

    return await PostgresKeyStore(where).connect()
