"""Answers `Generate` with `llm`, `rag_cancellable` or `answer`, whose streams become events."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import asdict, replace
from typing import Any

import orjson

from ensembles.contracts import PLACES, SOURCES
from ensembles.guides import GUIDE_TEXT, GUIDE_TYPE
from ensembles.rag import RAG_CANCELLABLE
from ensembles.sampling import SAMPLING
from ensembles.search import ANSWER
from ensembles.tensors import DType
from ensembles.tool_calls import TOOL_CALLS
from gateway.call import (
    MODEL_VERSION,
    Call,
    CallPiece,
    Event,
    Finished,
    Generate,
    Message,
    Quote,
    Sources,
    Text,
    Usage,
)
from gateway.errors import BadRequest, ContextExceeded, UpstreamFailed
from gateway.tool_use import ToolUse
from gateway.upstream.connection import Connection, EventReader
from gateway.upstream.models import Catalogue
from gateway.upstream.search import counts, in_collection, read_sources
from gateway.upstream.statuses import IN_BAND, from_stream

_OF_TYPE = {DType.INT32: range(-(2**31), 2**31), DType.UINT64: range(2**64)}
_RANGES = {spec.name: _OF_TYPE[spec.dtype] for spec in SAMPLING if spec.dtype in _OF_TYPE}
"""Ranges of integer inputs: Triton 2.51 takes the low 32 bits of a larger one, without an error."""

GRACE_S = 1.0
"""Triton ends a generation at its deadline; the gateway ends it if Triton has not after this."""


async def generate(
    triton: Connection, catalogue: Catalogue, call: Call, asked: Generate
) -> AsyncGenerator[Event, None]:
    """The events of one generation."""
    request = replace(asked, model=await catalogue.resolve(asked.model, Generate))
    call.usage = Usage()
    try:
        async with aclosing(_events(triton, call, request)) as events:
            async for event in events:
                yield event
    except ContextExceeded as error:
        async with aclosing(_events(triton, call, _fitting(request, error))) as events:
            async for event in events:
                if isinstance(event, Finished) and event.reason == "length":
                    yield replace(event, reason="context")
                else:
                    yield event
    except BadRequest as error:
        raise _of_guide(error, request) from None


def _fitting(request: Generate, error: ContextExceeded) -> Generate:
    """The request with `max_tokens` reduced to what fits; raises `error` if it must not be."""
    left = error.context_tokens - error.prompt_tokens
    if not request.may_fill_context or not error.max_tokens or left < 1:
        raise error
    return replace(request, sampling=replace(request.sampling, max_tokens=left))


async def _events(triton: Connection, call: Call, request: Generate) -> AsyncGenerator[Event, None]:
    usage = Usage()
    silence_s = triton.settings.inter_token_timeout_s
    if call.deadline is not None:
        silence_s = min(silence_s, _left_s(call.deadline) + GRACE_S)
    body, reader = _body(call, request), EventReader()
    async with triton.stream(call, _model(request), body, silence_s) as response:
        while piece := await response.piece():
            for event in reader.read(piece):
                reason = event.get("finish_reason", "")
                if "error" in event or reason == "error":
                    error = from_stream(event.get("error") or event["text_output"])
                    raise in_collection(error) if request.collection else error
                call.headers[MODEL_VERSION] = event["model_version"]
                if "sources" in event:
                    yield Sources(tuple(read_sources(_columns(event))))
                tokens = event["num_output_tokens"]
                usage = call.usage = Usage(event["num_input_tokens"], usage.output_tokens + tokens)
                if text := event["text_output"]:
                    yield Text(text, tokens)
                for part in map(orjson.loads, _column(event, TOOL_CALLS.name)):
                    took, tokens = (0, tokens) if text else (tokens, 0)
                    yield CallPiece(part["index"], part.get("name", ""), part["arguments"], took)
                if reason:
                    usage = replace(usage, cached_tokens=event.get("num_cached_tokens", 0))
                    yield _finished(reason, usage, event)
                    return
    raise UpstreamFailed("the model's stream ended before its last response")


def _of_guide(error: BadRequest, request: Generate) -> BadRequest:
    """The error, with the client's field of the guide, which is `tools` for a required call."""
    if error.field not in (GUIDE_TYPE, GUIDE_TEXT):
        return error
    field = request.guide.field if request.guide else "tools"
    return BadRequest(str(error).replace(error.field, field, 1), field=field)


def _model(request: Generate) -> str:
    """The model in Triton: `rag` over a collection is another graph than over documents."""
    return ANSWER.contract.name if request.collection else request.model


def _body(call: Call, request: Generate) -> dict[str, Any]:
    body = {"id": call.request_id, "stream": True, IN_BAND: True, **call.trace_headers}
    body |= _sampling(request)
    if request.guide:
        body |= {GUIDE_TYPE: request.guide.type, GUIDE_TEXT: request.guide.text}
    if call.deadline is not None:
        body["timeout"] = max(1, round(_left_s(call.deadline) * 1e6))
    is_rag = request.model == RAG_CANCELLABLE.contract.name
    return body | (_question(request) if is_rag else _prompt(request))


def _prompt(request: Generate) -> dict[str, Any]:
    if request.documents or request.collection:
        field = "tools" if request.collection else "documents"
        raise BadRequest.at(field, "given to a model that reads no sources; ask 'rag'")
    if not request.messages:
        return {"text_input": request.prompt}
    messages = [_message(message) for message in request.messages]
    return {"messages": orjson.dumps(messages).decode(), **_tool_use(request.tool_use)}


def _message(message: Message) -> dict[str, Any]:
    """The message in OpenAI's form, which `llm` reads."""
    plain: dict[str, Any] = {"role": message.role, "content": message.content}
    if message.tool_call_id:
        plain["tool_call_id"] = message.tool_call_id
    if message.tool_calls:
        plain["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    return plain


def _tool_use(use: ToolUse) -> dict[str, Any]:
    if not use.tools:
        return {}
    functions = [
        {
            "name": tool.name,
            "description": tool.description,
            "parameters": orjson.loads(tool.parameters),
        }
        for tool in use.tools
    ]
    tools = [{"type": "function", "function": function} for function in functions]
    choice = {"tool_choice": "required"} if use.is_required else {}
    return {"tools": orjson.dumps(tools).decode(), "parallel_tool_calls": use.is_parallel, **choice}


def _question(request: Generate) -> dict[str, Any]:
    if request.tool_use.tools:
        raise BadRequest.at("tools", "given to a model that calls none; ask 'llm'")
    if (collection := request.collection) is not None:
        place = {"collection": collection.name, "filter": collection.filter}
        return {"question": _last_message(request), **place, **counts(collection)}
    if not request.documents:
        raise BadRequest.at("documents", "none given; 'rag' answers from at least one")
    documents = [document.text for document in request.documents]
    return {"question": _last_message(request), "documents": documents}


def _last_message(request: Generate) -> str:
    """The question: earlier messages are no part of a question over documents."""
    if not request.messages:
        return request.prompt
    last = request.messages[-1]
    if last.role != "user":
        raise BadRequest.at(
            "messages", f"the last is of role {last.role}; with documents it is the user's question"
        )
    return last.content


def _sampling(request: Generate) -> dict[str, Any]:
    given = {name: value for name, value in asdict(request.sampling).items() if value is not None}
    for name in given.keys() & _RANGES.keys():
        possible = _RANGES[name]
        if given[name] not in possible:
            most = f"from {possible[0]} to {possible[-1]} are possible"
            raise BadRequest.at(name, f"{given[name]} given; {most}")
    given["stop_words"] = list(request.sampling.stop_words)
    return given if given["stop_words"] else {k: v for k, v in given.items() if k != "stop_words"}


def _left_s(deadline: float) -> float:
    return max(0.0, deadline - asyncio.get_running_loop().time())


def _finished(reason: str, usage: Usage, event: Any) -> Finished:
    columns = ("statements", "quotes", "quote_source")
    return Finished(
        reason,
        usage,
        citations=tuple(_column(event, "citations")),
        quotes=tuple(
            Quote(*row) for row in zip(*(_column(event, name) for name in columns), strict=True)
        ),
        grounded=event.get("grounded"),
    )


def _columns(event: Any) -> dict[str, list[Any]]:
    """The sources of an event, by tensor."""
    return {spec.name: _column(event, spec.name) for spec in (*SOURCES, *PLACES)}


def _column(event: Any, name: str) -> list[Any]:
    """A tensor's values as a list: Triton 2.51 writes a tensor of one element as a scalar."""
    found = event.get(name, [])
    return found if isinstance(found, list) else [found]
