"""Client of a Triton server that answers questions about documents.

from triton_rag import Client

with Client("127.0.0.1:8001") as client:
    answer = client.ask("How tall is it?", ["The tower is 30 m tall.", "Bread is baked."])
    print(answer.text, answer.cited)
"""

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
