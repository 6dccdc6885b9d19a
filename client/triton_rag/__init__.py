"""Client of a Triton server that answers questions about documents.

from triton_rag import Client

with Client("127.0.0.1:8001") as client:
    answer = client.ask("How tall is it?", ["The tower is 30 m tall.", "Bread is baked."])
    print(answer.text, answer.cited)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triton_rag.aio import AsyncClient
    from triton_rag.arguments import AskOptions, CollectionOptions, SamplingOptions, SearchOptions
    from triton_rag.client import Client
    from triton_rag.collections import Change, Collection, Document, DocumentEntry, Passage
    from triton_rag.errors import (
        Cancelled,
        InvalidRequest,
        NothingFound,
        Overloaded,
        ServerFailed,
        ServerUnreachable,
        TimedOut,
        TritonRagError,
    )
    from triton_rag.ingestion.folder import IngestError
    from triton_rag.ingestion.report import IngestReport
    from triton_rag.ingestion.run import IngestOptions, ingest
    from triton_rag.results import Answer, Completion, Quote, Ranked, Source
    from triton_rag.streams import (
        AnswerStream,
        AsyncAnswerStream,
        AsyncCompletionStream,
        CompletionStream,
    )

__all__ = [
    "Answer",
    "AnswerStream",
    "AskOptions",
    "AsyncAnswerStream",
    "AsyncClient",
    "AsyncCompletionStream",
    "Cancelled",
    "Change",
    "Client",
    "Collection",
    "CollectionOptions",
    "Completion",
    "CompletionStream",
    "Document",
    "DocumentEntry",
    "IngestError",
    "IngestOptions",
    "IngestReport",
    "InvalidRequest",
    "NothingFound",
    "Overloaded",
    "Passage",
    "Quote",
    "Ranked",
    "SamplingOptions",
    "SearchOptions",
    "ServerFailed",
    "ServerUnreachable",
    "Source",
    "TimedOut",
    "TritonRagError",
    "ingest",
]

_MODULES = (
    *("errors", "arguments", "collections", "results", "ingestion.folder", "ingestion.report"),
    *("client", "aio", "streams", "ingestion.run"),
)


def __getattr__(name: str) -> object:
    """Imports a name when it is used: gRPC takes 0.3 s, processes that read files don't need it,
    and Ctrl-C can come meanwhile."""
    if name in __all__:
        for module in map(import_module, (f"{__name__}.{each}" for each in _MODULES)):
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return __all__
