"""OpenAI's files of a vector store, one by one and in batches."""

from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from gateway.errors import BadRequest, NotFound
from gateway.files.records import Page, StoreFile
from gateway.files.register import new_id
from gateway.protocols.openai_files import COUNTED, LOOKED, library
from gateway.protocols.openai_lists import page_body, read_page
from gateway.protocols.openai_vector_stores import (
    MOST_FILES,
    STATUSES,
    Key,
    ShortText,
    file_counts,
    refuse_chunking,
)
from gateway.protocols.reading import Json, StrictBody, read
from gateway.protocols.request import caller, json_body, openapi_body

Attributes = Annotated[dict[Key, ShortText | bool | int | float], Field(max_length=16)]

router = APIRouter(tags=["OpenAI"], prefix="/v1/vector_stores/{store_id}")


class AttachFile(StrictBody):
    """A file to attach; filters of a search can compare its `attributes`."""

    file_id: str
    attributes: Attributes | None = None
    chunking_strategy: Any = None


class ChangeFile(StrictBody):
    attributes: Attributes | None


class AttachFiles(StrictBody):
    """Files to attach, by id: all with the same attributes, or each with its own."""

    file_ids: list[str] | None = Field(default=None, max_length=MOST_FILES)
    files: list[AttachFile] | None = Field(default=None, max_length=MOST_FILES)
    attributes: Attributes | None = None
    chunking_strategy: Any = None

    def each(self) -> list[AttachFile]:
        """The files one by one; raises `BadRequest` unless exactly one of the two forms is used."""
        if bool(self.file_ids) == bool(self.files):
            raise BadRequest.at("file_ids", "either file_ids or files is needed")
        if self.files:
            return self.files
        return [AttachFile(file_id=f, attributes=self.attributes) for f in self.file_ids or ()]


@router.post("/files", openapi_extra=openapi_body(AttachFile), dependencies=COUNTED)
def attach(store_id: str, request: Request) -> Json:
    """Put a file into the vector store; it is `completed` once a search finds it."""
    body = read(AttachFile, json_body(request))
    refuse_chunking(body.chunking_strategy)
    kept = library(request)
    store = kept.own_store(caller(request).tenant, store_id)
    return shown(kept.attach(store, body.file_id, body.attributes or {}))


@router.get("/files", dependencies=LOOKED)
def list_files(store_id: str, request: Request) -> Json:
    """The files of the vector store."""
    return _listed(store_id, request)


@router.get("/files/{file_id}", dependencies=LOOKED)
def show_file(store_id: str, file_id: str, request: Request) -> Json:
    """One file of the vector store, and how far it is."""
    kept = library(request)
    store = kept.store(caller(request).tenant, store_id)
    return shown(kept.register.store_file(store.id, file_id))


@router.post("/files/{file_id}", openapi_extra=openapi_body(ChangeFile), dependencies=COUNTED)
def change_file(store_id: str, file_id: str, request: Request) -> Json:
    """Give it other attributes; it is `completed` again once a search finds it by them."""
    body = read(ChangeFile, json_body(request))
    kept = library(request)
    store = kept.own_store(caller(request).tenant, store_id)
    return shown(kept.change_attributes(store, file_id, body.attributes or {}))


@router.get("/files/{file_id}/content", dependencies=LOOKED)
def file_text(store_id: str, file_id: str, request: Request) -> Json:
    """The text that was read of it."""
    kept = library(request)
    file, text = kept.text(kept.store(caller(request).tenant, store_id), file_id)
    return {
        "object": "vector_store.file_content.page",
        "file_id": file.file_id,
        "filename": file.name,
        "attributes": dict(file.attributes),
        "data": [{"type": "text", "text": text}],
        "has_more": False,
        "next_page": None,
    }


@router.delete("/files/{file_id}", dependencies=COUNTED)
def detach(store_id: str, file_id: str, request: Request) -> Json:
    """Take a file out of the vector store; the file itself stays."""
    kept = library(request)
    kept.detach(kept.own_store(caller(request).tenant, store_id), file_id)
    return {"id": file_id, "object": "vector_store.file.deleted", "deleted": True}


@router.post("/file_batches", openapi_extra=openapi_body(AttachFiles), dependencies=COUNTED)
def attach_batch(store_id: str, request: Request) -> Json:
    """Put several files into the vector store."""
    body = read(AttachFiles, json_body(request))
    files, kept = body.each(), library(request)
    for strategy in (body.chunking_strategy, *(each.chunking_strategy for each in files)):
        refuse_chunking(strategy)
    store = kept.own_store(caller(request).tenant, store_id)
    batch_id = new_id("vsfb")
    kept.attach_all(store, {each.file_id: each.attributes or {} for each in files}, batch_id)
    return _batch(store_id, batch_id, request)


@router.post("/file_batches/{batch_id}/cancel", dependencies=COUNTED)
def cancel_batch(store_id: str, batch_id: str, request: Request) -> Json:
    """Leave out what is not read yet."""
    kept = library(request)
    kept.cancel(kept.own_store(caller(request).tenant, store_id), batch_id)
    return _batch(store_id, batch_id, request)


@router.get("/file_batches/{batch_id}", dependencies=LOOKED)
def show_batch(store_id: str, batch_id: str, request: Request) -> Json:
    """How far a batch is."""
    return _batch(store_id, batch_id, request)


@router.get("/file_batches/{batch_id}/files", dependencies=LOOKED)
def list_batch(store_id: str, batch_id: str, request: Request) -> Json:
    """The files of a batch."""
    return _listed(store_id, request, batch_id)


def _listed(store_id: str, request: Request, batch_id: str = "") -> Json:
    kept, page = library(request), read_page(request)
    status = request.query_params.get("filter")
    if status is not None and status not in STATUSES:
        possible = ", ".join(STATUSES)
        raise BadRequest.at("filter", f"{status!r:.20} given; possible: {possible}")
    store = kept.store(caller(request).tenant, store_id)
    return page_body(kept.register.store_files(store.id, page, status, batch_id), page, shown)


def _batch(store_id: str, batch_id: str, request: Request) -> Json:
    kept = library(request)
    store = kept.store(caller(request).tenant, store_id)
    counts = kept.register.counts(store.id, batch_id)
    if not batch_id or not counts:
        raise NotFound(f"no batch {batch_id!r:.80} of this vector store", field="batch_id")
    files = file_counts(counts)
    first = kept.register.store_files(store.id, Page(1), batch_id=batch_id)[0]
    return {
        "id": batch_id,
        "object": "vector_store.file_batch",
        "created_at": first.created_s,
        "vector_store_id": store.id,
        "status": _status(files),
        "file_counts": files,
    }


def _status(files: dict[str, int]) -> str:
    if files["in_progress"]:
        return "in_progress"
    return "cancelled" if files["cancelled"] else "completed"


def shown(file: StoreFile) -> Json:
    error = {"code": "unsupported_file", "message": file.error} if file.error else None
    return {
        "id": file.file_id,
        "object": "vector_store.file",
        "created_at": file.created_s,
        "vector_store_id": file.store_id,
        "status": file.status,
        "last_error": error,
        "usage_bytes": file.size_bytes if file.status == "completed" else 0,
        "attributes": dict(file.attributes),
        "chunking_strategy": {"type": "other"},
    }
