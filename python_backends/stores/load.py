"""Which store the setting names."""

from pathlib import Path

from python_backends.stores.lance_store import LanceStore
from python_backends.stores.store import Store

POSTGRESQL = ("postgresql://", "postgres://")


def load_store(place: str) -> Store:
    """The store at a folder. Nothing is imported or connected to before it is used."""
    return LanceStore(Path(place))
