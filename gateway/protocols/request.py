"""Turns an HTTP request into a call, for all protocols; response.py writes the response."""

import asyncio
import re
from typing import Any, cast

from fastapi import Request
from pydantic import BaseModel
from starlette.datastructures import Headers

from gateway.bounds import JSON
from gateway.call import ANYBODY, Call, Caller, Embed, Generate, Moments, Rank
from gateway.call import Request as Wanted
from gateway.errors import BadRequest, TooLarge
from gateway.service import Service
from gateway.settings import Bounds

TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
DEADLINE = "x-request-timeout-ms"
PATHS_MODEL = "gateway.paths_model"
"""Key of the ASGI scope with the model that the path names, as in Azure's API."""
SDK_READ_TIMEOUT, SDK_TIMEOUT = "x-stainless-read-timeout", "x-stainless-timeout"
"""Headers with the seconds that an SDK waits for the next bytes: without a stream, for the whole
answer. JavaScript SDKs send only the second one, rounded down to whole seconds."""

MAX_DEADLINE_S = 24 * 3600.0


def json_body(request: Request) -> Any:
    """The request's body, parsed; raises `BadRequest` where there is none."""
    if JSON not in request.scope:
        raise BadRequest("body: empty; a JSON object is needed")
    body, model = request.scope[JSON], request.scope.get(PATHS_MODEL)
    return {**body, "model": model} if model and isinstance(body, dict) else body


def service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


def caller(request: Request) -> Caller:
    """The caller, as the middleware found it; `ANYBODY` without keys."""
    return getattr(request.state, "caller", ANYBODY)


def new_call(request: Request, wanted: Wanted) -> Call:
    _check_counts(wanted, service(request).settings.bounds)
    traceparent = request.headers.get("traceparent", "")
    return Call(
        wanted,
        caller(request),
        request.state.request_id,
        deadline=_deadline(request, wanted),
        traceparent=traceparent if TRACEPARENT.fullmatch(traceparent) else "",
        moments=Moments(arrived_s=request.state.arrived_s),
    )


def _check_counts(wanted: Wanted, bounds: Bounds) -> None:
    """Raises `TooLarge`."""
    match wanted:
        case Generate():
            _check("messages", len(wanted.messages), bounds.messages)
            _check("documents", len(wanted.documents), bounds.texts)
        case Embed():
            _check("texts", len(wanted.texts) + len(wanted.token_ids), bounds.texts)
        case Rank():
            _check("texts", len(wanted.passages), bounds.texts)


def _check(what: str, given: int, most: int) -> None:
    if given > most:
        raise TooLarge(f"{what}: {given} given; at most {most} are possible")


def _deadline(request: Request, wanted: Wanted) -> float | None:
    """The deadline in seconds of the loop's clock; raises `BadRequest` for what is no time."""
    given = request.headers.get(DEADLINE)
    if given is not None:
        if not re.fullmatch(r"[1-9]\d{0,8}", given):
            raise BadRequest.at(DEADLINE, f"{given!r:.40} given; whole milliseconds are needed")
        left_s = int(given) / 1e3
    elif isinstance(wanted, Generate) and wanted.stream:
        return None
    else:
        left_s = _sdk_timeout_s(request.headers)
    if not 0 < left_s <= MAX_DEADLINE_S:
        return None
    return asyncio.get_running_loop().time() + left_s


def _sdk_timeout_s(headers: Headers) -> float:
    """The timeout that an SDK sends, in seconds; 0 if it sends none."""
    for name, cut_s in ((SDK_READ_TIMEOUT, 0.0), (SDK_TIMEOUT, 1.0)):
        text = headers.get(name, "")
        if re.fullmatch(r"\d{1,6}(\.\d{1,9})?", text) and float(text):
            return float(text) + cut_s
    return 0.0


def openapi_body(model: type[BaseModel]) -> dict[str, Any]:
    """The argument `openapi_extra` for a route that reads a request of this model."""
    schema = model.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with its references replaced: they would be invalid in OpenAPI's document."""
    match schema:
        case {"$ref": str(reference)}:
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        case dict():
            return {key: _inlined(value, definitions) for key, value in schema.items()}
        case list():
            return [_inlined(each, definitions) for each in schema]
    return schema
