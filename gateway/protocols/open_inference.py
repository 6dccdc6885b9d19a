"""The Open Inference Protocol (KServe v2, Triton's own): relayed to Triton within limits.

Requests that change the server (load, unload, shared memory, traces, logging) are refused.
"""

import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from ensembles.contracts import LLM
from gateway.bounds import HEADER_LENGTH
from gateway.call import ANYBODY, Call, Handler, Relayed
from gateway.errors import Forbidden, GatewayError, NotFound, Unavailable
from gateway.protocols.request import caller, json_body, new_call, service
from gateway.protocols.response import Complete, Protocol, Streaming, relayed, sse
from gateway.protocols.tensor_calls import generate_call, infer_call
from gateway.protocols.tensor_checks import check_generate, check_infer
from gateway.upstream.connection import Connection
from gateway.upstream.relay import Sent, streamed, whole

router = APIRouter(tags=["Open Inference Protocol"])

_NAME = re.compile(r"[\w.-]{1,200}", re.ASCII)
_RELAYED_HEADERS = ("content-type", HEADER_LENGTH)


def error_body(error: GatewayError) -> Any:
    return {"error": str(error)}


OPEN_INFERENCE = Protocol(error_body, lambda error: sse(error_body(error)), event=bytes)


@router.get("/v2")
async def server(request: Request) -> Response:
    """The server's name, version and extensions."""
    return JSONResponse(await service(request).triton.json("GET", "/v2"))


@router.get("/v2/health/{probe}")
async def health(probe: str, request: Request) -> Response:
    """`live` or `ready`, with a body, which KServe's client reads and Triton does not give."""
    if probe not in ("live", "ready"):
        raise NotFound(f"health: {probe!r:.40} asked for; live and ready are possible")
    await _state(service(request).triton, f"/v2/health/{probe}")
    return JSONResponse({probe: True})


@router.get("/v2/models/stats")
@router.get("/v2/models/{model}/{what}")
@router.get("/v2/models/{model}/versions/{version}/{what}")
async def about(request: Request, model: str = "", version: str = "", what: str = "stats") -> Any:
    """`ready`, `config` or `stats` of a model."""
    if what not in ("ready", "config", "stats"):
        raise NotFound(f"{what!r:.40} asked for; ready, config and stats are possible")
    path = f"{_path(model, version)}/{what}" if model else "/v2/models/stats"
    found = await _state(service(request).triton, path)
    return JSONResponse({"name": model, "ready": True} if what == "ready" else found)


@router.get("/v2/models/{model}")
@router.get("/v2/models/{model}/versions/{version}")
async def metadata(request: Request, model: str, version: str = "") -> Response:
    """A model's tensors."""
    return JSONResponse(await service(request).triton.json("GET", _path(model, version)))


@router.post("/v2/repository/index")
async def index(request: Request) -> Response:
    """Every model of the server with its state."""
    return JSONResponse(await service(request).triton.json("POST", "/v2/repository/index"))


@router.post("/v2/models/{model}/infer")
@router.post("/v2/models/{model}/versions/{version}/infer")
async def infer(request: Request, model: str, version: str = "") -> Response:
    """One request with tensors, one response."""
    _refuse_what_guards_miss(request)
    sent = await _sent(request, f"{_path(model, version)}/infer")
    length = request.headers.get(HEADER_LENGTH, "")
    tensors = sent.body[int(length) :] if length else b""
    check_infer(sent.parsed, len(tensors))
    wanted = infer_call(_like(request, model), sent.parsed, tensors)
    return _whole(request, sent, new_call(request, replace(wanted, model=model)))


@router.post("/v2/models/{model}/generate")
@router.post("/v2/models/{model}/versions/{version}/generate")
async def generate(request: Request, model: str, version: str = "") -> Response:
    """Triton's JSON without tensors, one response."""
    _refuse_what_guards_miss(request)
    sent = await _sent(request, f"{_path(model, version)}/generate")
    return _whole(request, sent, _generation(request, model, sent))


@router.post("/v2/models/{model}/generate_stream")
@router.post("/v2/models/{model}/versions/{version}/generate_stream")
async def generate_stream(request: Request, model: str, version: str = "") -> Response:
    """Triton's JSON without tensors, and responses as server-sent events."""
    _refuse_what_guards_miss(request)
    sent = await _sent(request, f"{_path(model, version)}/generate_stream")
    call = _generation(request, model, sent)
    return Streaming(call, _pieces(request, sent, call), OPEN_INFERENCE)


def _like(request: Request, model: str) -> str:
    """The name of the model with the same tensors: `llm` for other LLMs, else `model` itself."""
    return LLM.name if model in service(request).settings.models.llms else model


def _generation(request: Request, model: str, sent: Sent) -> Call:
    """The checked call of `generate`; raises `BadRequest`."""
    like = _like(request, model)
    check_generate(like, sent.parsed)
    return new_call(request, replace(generate_call(like, sent.parsed), model=model))


def _refuse_what_guards_miss(request: Request) -> None:
    """Raises `Forbidden` for callers without a key if guards, which read no tensors, are on."""
    if service(request).guards.are_on and caller(request) == ANYBODY:
        raise Forbidden(
            "Triton's own protocol is not covered by the guards, which are on; possible: the other "
            "APIs, or a key with a route for it"
        )


def _path(model: str, version: str) -> str:
    if not _NAME.fullmatch(model) or not (version == "" or version.isdecimal()):
        raise NotFound(f"model {model!r:.80} is not here; POST /v2/repository/index lists models")
    return f"/v2/models/{model}" + (f"/versions/{version}" if version else "")


async def _state(triton: Connection, path: str) -> Any:
    """Triton's answer; raises `Unavailable` for its empty 400, which means not ready."""
    try:
        return await triton.json("GET", path)
    except GatewayError as error:
        if error.status == 400 and path.endswith(("/live", "/ready")):
            raise Unavailable("not ready", retry_after_s=1.0) from None
        raise


async def _sent(request: Request, path: str) -> Sent:
    headers = {name: request.headers[name] for name in _RELAYED_HEADERS if name in request.headers}
    return Sent(path, await request.body(), json_body(request), headers)


def _whole(request: Request, sent: Sent, call: Call) -> Response:
    answer = _metered(request, whole(service(request).triton, sent), comes_whole=True)
    return Complete(call, relayed(call, answer(call)))


async def _pieces(request: Request, sent: Sent, call: Call) -> AsyncGenerator[bytes, None]:
    answer = _metered(request, streamed(service(request).triton, sent))
    async with aclosing(answer(call)) as events:
        async for event in events:
            if isinstance(event, Relayed):
                yield event.data


def _metered(request: Request, inner: Handler, *, comes_whole: bool = False) -> Handler:
    found = service(request)
    inner = found.tracing.around_upstream(inner)
    return found.counted(found.access.fair(inner, comes_whole=comes_whole))
