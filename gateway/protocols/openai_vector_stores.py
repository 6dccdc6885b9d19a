"""OpenAI's `/v1/vector_stores`: collections of a tenant, and their search."""

import re
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Search, SearchedCollection, Source, Sources
from gateway.errors import BadRequest
from gateway.files.records import Status, VectorStore
from gateway.files.search_filter import collection_filter
from gateway.protocols.openai_files import COUNTED, LOOKED, library
from gateway.protocols.openai_lists import page_body, read_page
from gateway.protocols.reading import Each, Json, StrictBody, read, refuse
from gateway.protocols.request import caller, json_body, openapi_body
from gateway.protocols.response import single

if TYPE_CHECKING:
    from gateway.files.library import Library

router = APIRouter(tags=["OpenAI"])

STATUSES: tuple[Status, ...] = ("in_progress", "completed", "failed", "cancelled")
MOST_FILES = 2000
"""Most files in one request."""
_RANKER = re.compile(r"auto|none|default[-_][\d-]{1,16}")

Key = Annotated[str, Field(max_length=64)]
ShortText = Annotated[str, Field(max_length=512)]
Metadata = Annotated[dict[Key, ShortText], Field(max_length=16)]

_NO_END = (("vector stores stay until they are deleted", ("expires_after",)),)


class CreateStore(StrictBody):
    """A vector store to make; the models' server decides how files are cut into chunks."""

    ignored = ("description",)
    refused = _NO_END

    name: str | None = Field(default=None, max_length=256)
    file_ids: list[str] = Field(default=[], max_length=MOST_FILES)
    metadata: Metadata | None = None
    chunking_strategy: Any = None


class ChangeStore(StrictBody):
    refused = _NO_END

    name: str | None = Field(default=None, max_length=256)
    metadata: Metadata | None = None


class RankingOptions(StrictBody):
    """Options of ranking. `ranker` may be any of OpenAI's, and has no effect here."""

    ranker: str | None = None
    score_threshold: float = Field(default=0, ge=0, le=1)
    hybrid_search: Any = None

    def refuse(self, within: str = "ranking_options.") -> None:
        """Raises `BadRequest`."""
        why = "words and meaning have the server's own weights"
        refuse(f"{within}hybrid_search", self.hybrid_search, why)
        if self.ranker is not None and not _RANKER.fullmatch(self.ranker):
            message = f"{self.ranker!r:.40} given; auto, none and OpenAI's default-… are possible"
            raise BadRequest.at(f"{within}ranker", message)


class SearchStore(StrictBody):
    refused = (("questions are searched as they are", ("rewrite_query",)),)

    query: str | Each[str]
    filters: Any = None
    max_num_results: int = Field(default=10, ge=1, le=50)
    ranking_options: RankingOptions | None = None


def refuse_chunking(strategy: Any) -> None:
    """Raises `BadRequest` for chunks that the client wants to define itself."""
    if strategy not in (None, {"type": "auto"}):
        raise BadRequest.at(
            "chunking_strategy", "auto is possible; passages are cut to the embedder's length"
        )


@router.post("/v1/vector_stores", openapi_extra=openapi_body(CreateStore), dependencies=COUNTED)
def create(request: Request) -> Json:
    """Make a vector store, with files where they are named."""
    body = read(CreateStore, json_body(request))
    refuse_chunking(body.chunking_strategy)
    kept, tenant = library(request), caller(request).tenant
    made = kept.create_store(tenant, body.name or "", body.metadata or {}, body.file_ids)
    return shown(kept, made)


@router.get("/v1/vector_stores", dependencies=LOOKED)
def list_stores(request: Request) -> Json:
    """The vector stores of the key's tenant."""
    kept, part = library(request), read_page(request)
    found = kept.register.stores(caller(request).tenant, part)
    return page_body(found, part, lambda store: shown(kept, store))


@router.get("/v1/vector_stores/{store_id}", dependencies=LOOKED)
def show_store(store_id: str, request: Request) -> Json:
    """One vector store."""
    kept = library(request)
    return shown(kept, kept.described(caller(request).tenant, store_id))


@router.post(
    "/v1/vector_stores/{store_id}", openapi_extra=openapi_body(ChangeStore), dependencies=COUNTED
)
def change(store_id: str, request: Request) -> Json:
    """Give it another name or other metadata."""
    body = read(ChangeStore, json_body(request))
    kept, tenant = library(request), caller(request).tenant
    store = kept.own_store(tenant, store_id)
    name = store.name if body.name is None else body.name
    metadata = store.metadata if body.metadata is None else body.metadata
    kept.register.change_store(store, name, metadata)
    return shown(kept, kept.store(tenant, store_id))


@router.delete("/v1/vector_stores/{store_id}", dependencies=COUNTED)
def delete(store_id: str, request: Request) -> Json:
    """Delete it; its files stay."""
    library(request).delete_store(caller(request).tenant, store_id)
    return {"id": store_id, "object": "vector_store.deleted", "deleted": True}


@router.post("/v1/vector_stores/{store_id}/search", openapi_extra=openapi_body(SearchStore))
async def search(store_id: str, request: Request) -> Response:
    """The best passages of its files."""
    body = read(SearchStore, json_body(request))
    store = library(request).store(caller(request).tenant, store_id)
    query = _query(body.query)
    collection = SearchedCollection(store.id, collection_filter(body.filters), body.max_num_results)
    least = 0.0
    if body.ranking_options:
        body.ranking_options.refuse()
        least = body.ranking_options.score_threshold
    return single(request, Search(query, collection), Sources, partial(_results, query, least))


def _results(query: str, least: float, _: str, found: Sources) -> Json:
    results = [result(source) for source in found.sources if score(source) >= least]
    return {
        "object": "vector_store.search_results.page",
        "search_query": [query],
        "data": [{**r, "content": [{"type": "text", "text": r.pop("text")}]} for r in results],
        "has_more": False,
        "next_page": None,
    }


def _query(given: str | list[str]) -> str:
    texts = [given] if isinstance(given, str) else given
    if len(texts) != 1:
        raise BadRequest.at("query", f"{len(texts)} given; one at a time is possible")
    if not texts[0]:
        raise BadRequest.at("query", "empty; a text is needed")
    return texts[0]


def result(source: Source) -> Json:
    """A passage that was found, as OpenAI shows it."""
    return {
        "file_id": source.document_id,
        "filename": source.title,
        "score": score(source),
        "attributes": dict(source.metadata),
        "text": source.text,
        **place(source),
    }


def place(source: Source) -> Json:
    """A field that OpenAI lacks: the page, slide, row, … of a passage in its file, if that has
    any."""
    if not source.page:
        return {}
    from triton_rag.ingestion.page_names import page_name  # only files need the client's package

    kind = source.metadata.get("type") or source.title.rpartition(".")[2]
    return {page_name(str(kind)): source.page}


def score(source: Source) -> float:
    """The source's similarity, limited to 0 to 1; the order also counts words and relevance."""
    return min(1.0, max(0.0, source.similarity))


def file_counts(counts: Mapping[Status, tuple[int, int]]) -> dict[str, int]:
    """Number of files by status, with OpenAI's names."""
    files: dict[str, int] = {status: counts.get(status, (0, 0))[0] for status in STATUSES}
    return {**files, "total": sum(files.values())}


def shown(kept: "Library", store: VectorStore) -> Json:
    counts = kept.register.counts(store.id)
    files = file_counts(counts)
    return {
        "id": store.id,
        "object": "vector_store",
        "created_at": store.created_s,
        "name": store.name,
        "metadata": dict(store.metadata),
        "usage_bytes": counts.get("completed", (0, 0))[1],
        "file_counts": files,
        "status": "in_progress" if files["in_progress"] else "completed",
        "expires_after": None,
        "expires_at": None,
        "last_active_at": store.created_s,
    }
