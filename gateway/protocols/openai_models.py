"""OpenAI's `/v1/models`, out of Triton's repository index."""

from typing import Any

from fastapi import APIRouter, Request

from gateway.errors import NotFound
from gateway.protocols.exchange import caller, service
from gateway.routing.routes import AUTO

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The models that are ready and that the key may use."""
    return {"object": "list", "data": await _ready(request)}


@router.get("/v1/models/{name:path}")
async def show_model(name: str, request: Request) -> dict[str, Any]:
    """One model that is ready."""
    models = await _ready(request)
    for model in models:
        if model["id"] == name:
            return model
    possible = ", ".join(model["id"] for model in models)
    raise NotFound(f"model {name!r:.80} is not here; possible: {possible or 'none'}", field="model")


async def _ready(request: Request) -> list[dict[str, Any]]:
    """Those that the caller's key may use, and `auto`, which chooses among them."""
    catalogue, settings = service(request).catalogue, service(request).settings
    grant = await service(request).access.grants.of(caller(request))
    names = [model.name for model in await catalogue.models() if not model.problem]
    names = [*filter(grant.allows, names), *([AUTO] if settings.routing.rules else [])]
    return [
        {"id": name, "object": "model", "created": catalogue.started, "owned_by": "triton"}
        for name in names
    ]
