"""Opens the store that a setting names."""

from pathlib import Path

from python_backends.errors import RequestError
from python_backends.stores.lance_store import LanceStore
from python_backends.stores.postgres_store import PostgresStore
from python_backends.stores.store import Store

SCHEMES = ("postgresql://", "postgres://")


def load_store(place: str) -> Store:
    """The store at a folder or a URL. Nothing is imported or connected to before it is used.

    Raises `RequestError` for a URL of another kind.
    """
    scheme, is_url, _ = place.partition("://")
    if is_url and not place.startswith(SCHEMES):
        raise RequestError(f"'{scheme}://…' given; a folder or postgresql:// is possible")
    return PostgresStore(place) if place.startswith(SCHEMES) else LanceStore(Path(place))
