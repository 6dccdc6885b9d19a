"""OpenAI's `/v1/files`."""

from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse, Response

from gateway.bounds import UPLOADS
from gateway.call import Other
from gateway.errors import BadRequest, NotFound
from gateway.files.records import File
from gateway.protocols.openai_lists import page_body, read_page
from gateway.protocols.reading import Json
from gateway.protocols.request import caller, new_call, service

if TYPE_CHECKING:
    from gateway.files.library import Library

router = APIRouter(tags=["OpenAI"])

PURPOSES = ("assistants", "user_data")
MOST_LISTED = 10_000


def library(request: Request) -> "Library":
    """The library of files; raises `NotFound` if the gateway keeps no files."""
    found = service(request).library
    if found is None:
        raise NotFound("files: none are kept here; set 'folder' in the table [files] to keep some")
    return found


async def counted(request: Request, response: Response) -> None:
    """Counts a request that changes something for the key's limits."""
    call = new_call(request, Other())
    await service(request).access.meter.count(call)
    response.headers.update(call.headers)


async def looked(request: Request) -> None:
    """Counts a look, which has its own limit: clients look often whether a file is completed."""
    await service(request).access.meter.look(caller(request))


COUNTED = [Depends(counted)]
LOOKED = [Depends(looked)]


@router.post(UPLOADS, dependencies=COUNTED)
async def upload(request: Request) -> Json:
    """Keep a file: a form with `file` and `purpose`."""
    kept = library(request)
    form = await _form(request)
    try:
        file, purpose = form.get("file"), form.get("purpose")
        if not isinstance(file, UploadFile):
            raise BadRequest.at("file", "missing; a form with a file of this name is needed")
        if purpose not in PURPOSES:
            possible = " or ".join(PURPOSES)
            raise BadRequest.at("purpose", f"{purpose!r:.40} given; {possible} is possible")
        _refuse_unknown(form)
        tenant = caller(request).tenant
        made = await run_in_threadpool(kept.upload, tenant, file.filename, str(purpose), file.file)
    finally:
        await form.close()
    return shown(made)


def _refuse_unknown(form: FormData) -> None:
    for name in form.keys() - {"file", "purpose"}:
        if name.startswith("expires_after"):
            raise BadRequest.at("expires_after", "not offered; files stay until they are deleted")
        raise BadRequest.at(name[:100], "is not a field of this API")


async def _form(request: Request) -> FormData:
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise BadRequest.at("content-type", "multipart/form-data is taken here")
    try:
        return await request.form(max_files=1, max_fields=8)
    except HTTPException as error:
        raise BadRequest(f"body: no valid form: {error.detail}") from None


@router.get("/v1/files", dependencies=LOOKED)
def list_files(request: Request) -> Json:
    """The files of the key's tenant."""
    page = read_page(request, MOST_LISTED, MOST_LISTED)
    purpose = request.query_params.get("purpose")
    found = library(request).register.files(caller(request).tenant, page, purpose)
    return page_body(found, page, shown)


@router.get("/v1/files/{file_id}", dependencies=LOOKED)
def show_file(file_id: str, request: Request) -> Json:
    """One file."""
    return shown(library(request).register.file(caller(request).tenant, file_id))


@router.get("/v1/files/{file_id}/content", dependencies=LOOKED)
def file_content(file_id: str, request: Request) -> Response:
    """Its bytes, as they came."""
    path = library(request).content(caller(request).tenant, file_id)
    return FileResponse(path, media_type="application/octet-stream")


@router.delete("/v1/files/{file_id}", dependencies=COUNTED)
def delete_file(file_id: str, request: Request) -> Json:
    """Remove a file, from vector stores too."""
    library(request).delete_file(caller(request).tenant, file_id)
    return {"id": file_id, "object": "file", "deleted": True}


def shown(file: File) -> Json:
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.size_bytes,
        "created_at": file.created_s,
        "filename": file.name,
        "purpose": file.purpose,
        "status": "processed",
        "expires_at": None,
        "status_details": None,
    }
