"""OpenAI's `/v1/models`, out of Triton's repository index."""

from typing import Any

from fastapi import APIRouter, Request

from gateway.errors import NotFound
from gateway.protocols.exchange import service
from gateway.upstream.models import Catalogue

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The models that are ready."""
    return {"object": "list", "data": await _ready(service(request).catalogue)}


@router.get("/v1/models/{name:path}")
async def show_model(name: str, request: Request) -> dict[str, Any]:
    """One model that is ready."""
    models = await _ready(service(request).catalogue)
    for model in models:
        if model["id"] == name:
            return model
    possible = ", ".join(model["id"] for model in models)
    raise NotFound(f"model {name!r:.80} is not here; possible: {possible or 'none'}", field="model")


async def _ready(catalogue: Catalogue) -> list[dict[str, Any]]:
    return [
        {"id": model.name, "object": "model", "created": catalogue.started, "owned_by": "triton"}
        for model in await catalogue.models()
        if not model.problem
    ]
