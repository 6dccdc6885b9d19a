"""Anthropic's Messages API: `/v1/messages` and `/v1/messages/count_tokens`.

`document` parts with text make the call a RAG call; their citations come back in the answer's text
block. Usage and citations are known at the end only, so a stream brings both there.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Event, Generate, Message, Sampling, Usage
from gateway.errors import BadRequest, GatewayError
from gateway.protocols.answer import Answer, collect, texts
from gateway.protocols.anthropic_documents import Turn, cited, read_documents
from gateway.protocols.exchange import (
    Complete,
    Protocol,
    Streaming,
    document,
    json_body,
    new_call,
    service,
)
from gateway.protocols.field_names import as_written
from gateway.protocols.reading import (
    Content,
    Each,
    StrictBody,
    part_text,
    read,
    refuse_given,
    refuse_thinking,
    refuse_tools,
    text_of,
)
from gateway.protocols.sse import named_sse, typed_events

Json = dict[str, Any]

router = APIRouter(tags=["Anthropic"])

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
FIELDS = {"stop_words": "stop_sequences"}
_UNREAD = ("document", "search_result", "thinking", "redacted_thinking")
"""Parts that are no text of a message: documents, and what another model thought before."""
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "ungrounded": "end_turn"}
"""The engine doesn't say which stop word ended an answer, so `stop_sequence` is always null."""


class CountRequest(StrictBody):
    """What both routes take. Hints about caching and billing change nothing here."""

    model: str
    messages: Each[Turn] = Field(min_length=1)
    system: Content | None = None
    tools: list[Any] | None = None
    tool_choice: Any = None
    thinking: Any = None
    output_config: dict[str, Any] | None = None
    cache_control: Any = None
    speed: str | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None


class MessagesRequest(CountRequest):
    max_tokens: int = Field(ge=1)
    stream: bool = False
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: Each[str] | None = None
    container: Any = None
    diagnostics: Any = None
    inference_geo: str | None = None
    mcp_servers: list[Any] | None = None
    context_management: Any = None
    metadata: Any = None
    service_tier: str | None = None


@router.post("/v1/messages", openapi_extra=document(MessagesRequest))
async def messages(request: Request) -> Response:
    """Answer the last message."""
    body = read(MessagesRequest, json_body(request))
    call = new_call(request, generate(body))
    name, events = f"msg_{call.request_id}", service(request).handler(call)
    if body.stream:
        return Streaming(call, typed_events(stream(body, name, events)), ANTHROPIC)
    return Complete(call, _whole(body, name, events))


@router.post("/v1/messages/count_tokens", openapi_extra=document(CountRequest))
async def count_tokens(request: Request) -> Response:
    """Count the tokens of a request by generating one token."""
    body = read(CountRequest, json_body(request))
    call = new_call(request, counting(body))
    return Complete(call, _count(service(request).handler(call)))


async def _whole(body: MessagesRequest, name: str, events: AsyncGenerator[Event, None]) -> Json:
    return response(body, name, await collect(events))


async def _count(events: AsyncGenerator[Event, None]) -> Json:
    return count_response(await collect(events))


# --- requests ------------------------------------------------------------------------------


def _refuse(request: CountRequest) -> None:
    refuse_tools(request, ("tools",), request.tool_choice)
    refuse_thinking(request.thinking)
    if (request.output_config or {}).get("format"):
        raise BadRequest(
            "output_config.format: not offered; the answer is text", field="output_config.format"
        )
    if request.messages[-1].role == "assistant":
        raise BadRequest(
            "messages: the last one is the assistant's; prefill is not offered, a user's is needed",
            field="messages",
        )


def _refuse_edits(management: Any) -> None:
    """Raises `BadRequest`, but not for edits that clear what no message here can have."""
    edits = management.get("edits") if isinstance(management, dict) else management
    for edit in edits or ():
        kind = edit.get("type") if isinstance(edit, dict) else edit
        if not str(kind).startswith(("clear_thinking_", "clear_tool_uses_")):
            raise BadRequest(
                "context_management: only edits that clear thinking or tool uses are possible",
                field="context_management",
            )


def generate(request: MessagesRequest) -> Generate:
    """Raises `BadRequest`."""
    refuse_given(request, ("container", "mcp_servers"), "it is Anthropic's own service")
    _refuse_edits(request.context_management)
    sampling = Sampling(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        stop_words=tuple(request.stop_sequences or ()),
    )
    return _generate(request, sampling, request.stream)


def counting(request: CountRequest) -> Generate:
    """A generation of one token: only the model knows its template and its tokens."""
    return _generate(request, Sampling(max_tokens=1), stream=False)


def _generate(request: CountRequest, sampling: Sampling, stream: bool) -> Generate:
    _refuse(request)
    system = text_of(request.system, "system") if request.system else ""
    return Generate(
        model=request.model,
        messages=(
            *([Message("system", system)] if system else []),
            *(_message(f"messages.{i}", turn) for i, turn in enumerate(request.messages)),
        ),
        sampling=sampling,
        documents=tuple(document for document, _ in read_documents(request.messages)),
        stream=stream,
    )


def _message(field: str, turn: Turn) -> Message:
    if isinstance(turn.content, str):
        return Message(turn.role, turn.content)
    texts = [
        part_text(part, f"{field}.content.{i}", ("text", "document", "search_result"))
        for i, part in enumerate(turn.content)
        if part.type not in _UNREAD
    ]
    return Message(turn.role, "".join(texts))


# --- responses -----------------------------------------------------------------------------


def response(request: MessagesRequest, message_id: str, answer: Answer) -> Json:
    """A `Message` with one text block. The AI SDK takes no `citations` that are null."""
    found = cited(request.messages, answer)
    block = {"type": "text", "text": answer.text, **({"citations": found} if found else {})}
    return {
        **_message_start(request, message_id),
        "content": [block],
        "stop_reason": STOP_REASONS[answer.end.reason],
        "usage": _usage(answer.usage),
    }


def count_response(answer: Answer) -> Json:
    return {"input_tokens": answer.usage.input_tokens}


def _message_start(request: MessagesRequest, message_id: str) -> Json:
    return {
        "id": message_id,
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(Usage()),
    }


def _usage(usage: Usage) -> Json:
    """Anthropic's `input_tokens` are those that were not cached."""
    return {
        "input_tokens": usage.input_tokens - usage.cached_tokens,
        "output_tokens": usage.output_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": usage.cached_tokens,
    }


async def stream(
    request: MessagesRequest, message_id: str, events: AsyncGenerator[Event, None]
) -> AsyncGenerator[Json, None]:
    """The stream's events; raises `GatewayError`."""
    answer = Answer()
    async with aclosing(texts(answer, events)) as pieces:
        await anext(pieces)
        yield {"type": "message_start", "message": _message_start(request, message_id)}
        empty = {"type": "text", "text": ""}
        yield {"type": "content_block_start", "index": 0, "content_block": empty}
        async for text in pieces:
            yield _block_delta({"type": "text_delta", "text": text})
    for last in _last_events(request, answer):
        yield last


def _last_events(request: MessagesRequest, answer: Answer) -> Sequence[Json]:
    stop_reason = STOP_REASONS[answer.end.reason]
    found = cited(request.messages, answer)
    return [
        *(_block_delta({"type": "citations_delta", "citation": each}) for each in found),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop_reason, "stop_sequence": None},
            "usage": _usage(answer.usage),
        },
        {"type": "message_stop"},
    ]


def _block_delta(delta: Json) -> Json:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


def error_body(error: GatewayError) -> Json:
    """An error response; the same object is the `error` event of a stream."""
    kind = ERROR_TYPES.get(error.status, "api_error")
    message, _ = as_written(error, FIELDS)
    return {"type": "error", "error": {"type": kind, "message": message}}


ANTHROPIC = Protocol(error_body, lambda error: named_sse("error", error_body(error)))
