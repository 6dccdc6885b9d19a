"""Anthropic's Messages API: `/v1/messages` and `/v1/messages/count_tokens`.

`document` parts with text make the call a RAG call; citations of them are in the answer's text
block. Usage and citations are known only at the end, so a stream sends both there.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Generate, Message, Sampling
from gateway.errors import BadRequest
from gateway.protocols.anthropic_answer import count_response, response, stream
from gateway.protocols.anthropic_documents import Conversation, read_documents
from gateway.protocols.anthropic_errors import ANTHROPIC, NoThreads
from gateway.protocols.anthropic_tools import ToolItem, messages_of, tool_use
from gateway.protocols.guides import anthropic_format, one_guide
from gateway.protocols.reading import Content, Each, read, refuse_thinking, text_of
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.response import generated
from gateway.protocols.tools import check_results

router = APIRouter(tags=["Anthropic"])


class CountRequest(Conversation):
    """Fields of requests to both routes."""

    ignored: ClassVar[Sequence[str]] = ("cache_control", "speed", "user_profile_id", "workspace_id")
    system: Content | None = None
    tools: Each[ToolItem] | None = None
    tool_choice: Any = None
    thinking: Any = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None


class MessagesRequest(CountRequest):
    ignored = (*CountRequest.ignored, *("diagnostics", "inference_geo", "metadata", "service_tier"))
    refused = (("it is Anthropic's own service", ("container", "mcp_servers")),)

    max_tokens: int = Field(ge=1)
    stream: bool = False
    temperature: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    stop_sequences: Each[str] | None = None
    context_management: Any = None
    thread: Any = None


@router.post("/v1/messages", openapi_extra=openapi_body(MessagesRequest))
async def messages(request: Request) -> Response:
    """Answer the last message."""
    body = read(MessagesRequest, json_body(request))
    wanted = generate(body)
    return generated(request, wanted, ANTHROPIC, partial(response, body), partial(stream, body))


@router.post("/v1/messages/count_tokens", openapi_extra=openapi_body(CountRequest))
async def count_tokens(request: Request) -> Response:
    """Count the tokens of a request by generating one token."""
    body = read(CountRequest, json_body(request))
    return generated(request, counting(body), ANTHROPIC, count_response)


def _refuse(request: CountRequest) -> None:
    refuse_thinking(request.thinking)
    if request.messages[-1].role == "assistant":
        raise BadRequest.at(
            "messages",
            "the last one is the assistant's; prefill is not offered, a user's is needed",
        )


def _refuse_edits(management: Any) -> None:
    """Raises `BadRequest` for edits of the context, except those that only shorten the prompt."""
    edits = management.get("edits") if isinstance(management, dict) else management
    for edit in edits or ():
        kind = edit.get("type") if isinstance(edit, dict) else edit
        if not str(kind).startswith(("clear_thinking_", "clear_tool_uses_")):
            raise BadRequest.at(
                "context_management", "only edits that clear thinking or tool uses are possible"
            )


def generate(request: MessagesRequest) -> Generate:
    """Raises `BadRequest`."""
    if request.thread:
        raise NoThreads.at("thread", "nothing is stored; send all messages each time")
    _refuse_edits(request.context_management)
    sampling = Sampling(
        max_tokens=request.max_tokens,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        stop_words=tuple(request.stop_sequences or ()),
    )
    # Anthropic's clients must send `max_tokens`, and send 4,096 if their users give none.
    return replace(_generate(request, sampling, request.stream), may_fill_context=True)


def counting(request: CountRequest) -> Generate:
    """A generation of one token: only the model knows its template and its tokens."""
    counted = _generate(request, Sampling(max_tokens=1), stream=False)
    tool_use = replace(counted.tool_use, is_required=False)
    return replace(counted, tool_use=tool_use, guide=None)


def _generate(request: CountRequest, sampling: Sampling, stream: bool) -> Generate:
    _refuse(request)
    system = text_of(request.system, "system") if request.system else ""
    turns = enumerate(request.messages)
    found = [each for i, turn in turns for each in messages_of(turn, f"messages.{i}")]
    messages = tuple(message for message, _ in found)
    check_results(messages, [field for _, field in found])
    return Generate(
        model=request.model,
        messages=(*([Message("system", system)] if system else []), *messages),
        sampling=sampling,
        documents=tuple(document for document, _ in read_documents(request.messages)),
        tool_use=tool_use(request.tools, request.tool_choice),
        guide=one_guide(
            anthropic_format((request.output_config or {}).get("format"), "output_config.format"),
            anthropic_format(request.output_format, "output_format"),
        ),
        stream=stream,
    )
