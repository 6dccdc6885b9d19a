"""Lists all documents of a collection, page by page."""

from collections.abc import Iterator

from triton_rag.client import Client
from triton_rag.collections import DocumentEntry

PAGE = 10_000
"""Documents in one answer: the server's limit."""


def all_documents(client: Client, collection: str) -> Iterator[DocumentEntry]:
    """Every document of a collection, by id. Those that change meanwhile may be missed."""
    after = ""
    while True:
        found = client.documents(collection, after=after, limit=PAGE)
        yield from found
        if len(found) < PAGE:
            return
        after = found[-1].id
