"""Opens the store of collections, and checks which embedder made a collection."""

import os

from ensembles.collections import STORE_VARIABLE
from python_backends.context import StageContext
from python_backends.errors import RequestError
from python_backends.stores.load import load_store
from python_backends.stores.store import Collection, Store


def open_store(context: StageContext) -> Store:
    """The store that the environment names; else the folder of the placement's parameter."""
    default = context.version_folder / context.parameters["collections_folder"]
    return load_store(os.environ.get(STORE_VARIABLE) or str(default.resolve()))


def require_embedder(collection: Collection, embedder: str) -> None:
    """Raises `RequestError` if another embedder made the collection: its embeddings can't be
    compared with this one's."""
    if collection.embedder != embedder:
        raise RequestError(
            f"collection: '{collection.name}' was made with the embedder {collection.embedder}, "
            f"and this server has {embedder}; serve that one, or ingest into a new collection"
        )
