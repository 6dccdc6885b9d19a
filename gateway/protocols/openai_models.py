"""`/v1/models`, from Triton's repository index: OpenAI's, Anthropic's and Cohere's in one.

Clients of all three use this path, and ignore the fields of the others.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request

from gateway.call import Embed, Generate, Rank
from gateway.call import Request as Wanted
from gateway.errors import NotFound
from gateway.protocols.request import caller, service
from gateway.routing.rules import AUTO
from gateway.upstream.models import ENTRIES

_ENDPOINTS: Mapping[type[Wanted], str] = {Generate: "chat", Embed: "embed", Rank: "rerank"}

_CONTEXT_FIELDS = ("max_model_len", "context_length", "max_input_tokens")
"""Names of the context's length by vLLM, OpenRouter and Anthropic: agents cut their chats to it."""

router = APIRouter(tags=["OpenAI"])


@router.get("/v1/models")
async def list_models(request: Request) -> dict[str, Any]:
    """The models that are ready and that the key may use."""
    models = await _ready(request)
    ids = [model["id"] for model in models]
    return {
        "object": "list",
        "data": models,
        "has_more": False,
        "first_id": ids[0] if ids else None,
        "last_id": ids[-1] if ids else None,
        "models": await _cohere(request, models),
    }


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
    """The models that the caller's key may use, and `auto`, which chooses among them."""
    catalogue, settings = service(request).catalogue, service(request).settings
    grant = await service(request).access.grants.of(caller(request))
    ready = [model for model in await catalogue.models() if not model.problem]
    names = [model.name for model in ready if grant.allows(model.name)]
    names += [AUTO] if settings.routing.rules else []
    contexts = await _contexts(request)
    created = datetime.fromtimestamp(catalogue.started, UTC).isoformat()
    return [
        {
            "id": name,
            "object": "model",
            "created": catalogue.started,
            "owned_by": "triton",
            "type": "model",
            "display_name": name,
            "created_at": created,
            **{field: contexts[name] for field in _CONTEXT_FIELDS if name in contexts},
        }
        for name in names
    ]


async def _contexts(request: Request) -> dict[str, int]:
    """Context lengths, in tokens, of `llm` and `rag`; empty where Triton does not report them."""
    catalogue = service(request).catalogue
    tokens = await catalogue.context_tokens()
    models = await catalogue.models() if tokens else []
    known = (ENTRIES["llm"], ENTRIES["rag"])
    return {model.name: tokens for model in models if model.entry in known}


async def _cohere(request: Request, shown: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The models with what they can do, in Cohere's terms; `auto` has nothing: its rules choose."""
    models = await service(request).catalogue.models()
    endpoints = {model.name: [_ENDPOINTS[model.entry.takes]] for model in models}
    return [
        {"name": one["id"], "endpoints": endpoints.get(one["id"], [])}
        | {field: one[field] for field in ("context_length",) if field in one}
        for one in shown
    ]
