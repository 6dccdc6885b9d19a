"""The application: its routes and its middleware."""

import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import orjson
from fastapi import APIRouter, FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.routing import Route

from gateway import probes
from gateway.access.authentication import Authentication
from gateway.bounds import BoundedBody
from gateway.errors import BadRequest, GatewayError
from gateway.middleware import CorrectedPath, RequestTracking
from gateway.protocols import (
    anthropic_messages,
    cohere_chat,
    cohere_chat_v1,
    cohere_embed,
    cohere_rerank,
    nim_ranking,
    open_inference,
    openai_chat,
    openai_completions,
    openai_embeddings,
    openai_files,
    openai_models,
    openai_moderations,
    openai_responses,
    openai_store_files,
    openai_vector_stores,
    rag,
    tei,
)
from gateway.protocols.anthropic_errors import ANTHROPIC
from gateway.protocols.anthropic_headers import AnthropicHeaders
from gateway.protocols.cohere_errors import COHERE
from gateway.protocols.nim_ranking import NIM
from gateway.protocols.open_inference import OPEN_INFERENCE
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.response import Protocol
from gateway.protocols.tei import TEI
from gateway.service import open_service
from gateway.settings import Settings
from gateway.unknown_paths import advice

PROTOCOLS: Sequence[tuple[APIRouter, Protocol]] = [
    (module.router, protocol)
    for protocol, modules in (
        (ANTHROPIC, (anthropic_messages,)),
        (COHERE, (cohere_chat, cohere_chat_v1, cohere_embed, cohere_rerank)),
        (NIM, (nim_ranking,)),
        (OPENAI, (openai_chat, openai_completions, openai_embeddings, openai_files)),
        (OPENAI, (openai_models, openai_moderations, openai_responses, openai_store_files)),
        (OPENAI, (openai_vector_stores, rag)),
        (TEI, (tei,)),
        (OPEN_INFERENCE, (open_inference,)),
    )
    for module in modules
]
"""Every API, with its form of errors; paths of no API have OpenAI's form."""

EXPOSED = ("request-id", "retry-after", "x-request-id")
"""Headers that a web page may read."""


def new_app(settings: Settings) -> FastAPI:
    """The ASGI application; it opens the connection to Triton when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_service(settings) as service:
            app.state.service = service
            yield

    # A redirect would name the gateway's own scheme and port, not those that the client used.
    app = FastAPI(title="Gateway", lifespan=lifespan, redoc_url=None, redirect_slashes=False)
    app.include_router(probes.router)
    for router, _ in PROTOCOLS:
        app.include_router(router)
    for kind in (GatewayError, HTTPException):
        app.add_exception_handler(kind, _answer)
    origins = settings.listen.origins
    app.add_middleware(BoundedBody, bounds=settings.bounds, files=settings.files, origins=origins)
    app.add_middleware(Authentication)
    app.add_middleware(RequestTracking, refusal=refusal)
    app.add_middleware(AnthropicHeaders)  # it reads headers that the others have added
    app.add_middleware(CorrectedPath, is_served=lambda path: _protocol_with(path) is not None)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=("GET", "POST", "DELETE"),
            allow_headers=("*",),
            allow_private_network=True,  # Chrome asks where a public page calls this machine
            expose_headers=EXPOSED,
        )
    return app


def refusal(path: str, error: GatewayError) -> Response:
    """The response for an error on that path."""
    headers = dict(error.headers)
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    body = orjson.dumps(_protocol(path).error_body(error))
    return Response(body, error.status, headers, "application/json")


def _protocol(path: str) -> Protocol:
    """The API whose form of errors a path has, whether or not the path is served."""
    if path.startswith("/v1/messages/"):
        return ANTHROPIC
    return _protocol_with(path) or (OPEN_INFERENCE if path.startswith("/v2") else OPENAI)


def _protocol_with(path: str) -> Protocol | None:
    """The API that has a route of that path."""
    for router, protocol in PROTOCOLS:
        if any(isinstance(r, Route) and r.path_regex.match(path) for r in router.routes):
            return protocol
    return None


def _hint(path: str, error: HTTPException) -> str:
    """A sentence on what is possible instead."""
    if error.status_code == 404:
        return advice(path)
    allowed = (error.headers or {}).get("Allow", "")
    return f"; {allowed} is possible" if allowed else ""


async def _answer(request: Request, error: Exception) -> Response:
    """The response to a `GatewayError`, and to unknown paths."""
    path = request.url.path
    match error:
        case GatewayError():
            return refusal(path, error)
        case HTTPException():
            found = BadRequest(
                f"{request.method} {path!r:.100}: {error.detail}{_hint(path, error)}"
            )
            found.status = error.status_code
            found.headers.update(error.headers or {})
            return refusal(path, found)
    raise error
