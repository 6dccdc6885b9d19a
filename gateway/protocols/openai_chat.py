"""OpenAI's `/v1/chat/completions`.

With `documents` (a field of Cohere and vLLM) model `rag` answers from them, and the answer's
citations are annotations. `functions` is older than `tools` and gets answers in its own form.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import CallPiece, Document, Event, Finished, Generate, Message, Text
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer, citations
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.guides import one_guide, openai_format, vllm_guide
from gateway.protocols.openai_choices import Form, choices
from gateway.protocols.openai_sampling import (
    SamplingRequest,
    check_choices,
    refuse_but,
    refuse_sampling,
    sampling,
)
from gateway.protocols.openai_tools import call_delta, calls, function_use, in_older_form, tool_use
from gateway.protocols.reading import (
    Body,
    Content,
    Each,
    Json,
    calls_nothing,
    read,
    refuse,
    text_of,
)
from gateway.protocols.request import json_body, openapi_body
from gateway.protocols.tools import (
    CalledFunction,
    Function,
    FunctionCall,
    FunctionTool,
    check_results,
    new_call,
    read_calls,
    read_tools,
)
from gateway.tool_use import ToolCall, ToolUse

router = APIRouter(tags=["OpenAI"])


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: Content | None = None
    tool_calls: Each[FunctionCall] | None = None
    tool_call_id: str | None = None
    function_call: CalledFunction | None = None
    name: str | None = None


class ChatRequest(SamplingRequest):
    ignored = (
        *SamplingRequest.ignored,
        *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("reasoning_effort", "safety_identifier", "service_tier", "verbosity"),
        *("include_reasoning", "reasoning", "reasoning_format"),  # of OpenRouter and Groq
    )
    refused = (
        *SamplingRequest.refused,
        ("the answer is text alone", ("audio", "logprobs", "moderation", "top_logprobs")),
        ("this model can't", ("prediction", "web_search_options")),
        ("this model answers at once", ("enable_thinking", "thinking")),
        ("nothing is stored", ("store",)),
    )

    messages: Each[ChatMessage] = Field(min_length=1)
    documents: Each[DocumentItem] | None = None
    response_format: dict[str, Any] | None = None
    function_call: Any = None
    functions: Each[Function] | None = None
    modalities: Each[str] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: Any = None
    tools: Each[FunctionTool] | None = None

    @property
    def is_older(self) -> bool:
        """Whether the request offers functions in the older form."""
        return bool(self.functions) and not calls_nothing(self.function_call)


_ROLES = {"developer": "system", "function": "tool"}


def parse(body: Any) -> ChatRequest:
    """Raises `BadRequest`."""
    request = read(ChatRequest, body)
    if request.is_older:
        refuse("tools", request.tools, "functions, their older form, are given too")
    elif not calls_nothing(request.function_call):
        refuse("function_call", request.function_call, "there are no functions")
    refuse_sampling(request)
    refuse_but(request, "modalities", ["text"])
    check_choices(request)
    return request


def generate(request: ChatRequest) -> Generate:
    """Raises `BadRequest`."""
    messages = tuple(_message(i, each) for i, each in enumerate(request.messages))
    ids = ["name" if each.role == "function" else "tool_call_id" for each in request.messages]
    check_results(messages, [f"messages.{i}.{name}" for i, name in enumerate(ids)])
    return Generate(
        model=request.model,
        messages=messages,
        sampling=sampling(request),
        documents=read_documents(request.documents),
        tool_use=_tool_use(request),
        guide=one_guide(
            openai_format(request.response_format, "response_format"), vllm_guide(request)
        ),
        stream=bool(request.stream),
    )


def _tool_use(request: ChatRequest) -> ToolUse:
    if request.is_older:
        return function_use(request.functions or (), request.function_call)
    return tool_use(read_tools(request.tools), request.tool_choice, request.parallel_tool_calls)


def _calls(message: ChatMessage, field: str) -> tuple[ToolCall, ...]:
    """The calls of a message; in the older form a call has no id: its result names the function."""
    if (call := message.function_call) is not None:
        return (new_call(f"{field}.function_call.arguments", call.name, call.name, call.arguments),)
    return read_calls(message.tool_calls, f"{field}.tool_calls")


def _message(index: int, message: ChatMessage) -> Message:
    field = f"messages.{index}"
    calls = _calls(message, field)
    if message.content is None and message.role == "assistant":
        return Message("assistant", "", calls)  # it has calls, or no text, as when cancelled
    if message.content is None:
        field = f"{field}.content"
        raise BadRequest.at(field, "missing; a text is needed")
    role = _ROLES.get(message.role, message.role)
    types = ("text", "refusal") if role == "assistant" else ("text",)
    text = text_of(message.content, f"{field}.content", types, role)
    ids = {"tool": message.tool_call_id, "function": message.name}
    return Message(role, text, calls, ids.get(message.role) or "")


@router.post("/v1/chat/completions", openapi_extra=openapi_body(ChatRequest))
async def chat_completions(request: Request) -> Response:
    """Answer the last message of a chat."""
    asked = parse(json_body(request))
    first = generate(asked)
    wanted = [replace(first, sampling=sampling(asked, i)) for i in range(check_choices(asked))]
    return choices(request, asked, wanted, _OLDER_FORM if asked.is_older else _FORM)


def _choice(answer: Answer, asked: Generate) -> Json:
    message = {
        "role": "assistant",
        "content": answer.text if answer.text or not answer.calls else None,
        "refusal": None,
        "annotations": annotations(answer, asked.documents),
        **({"tool_calls": calls(answer)} if answer.calls else {}),
    }
    return {"message": message}


def _delta(event: Event, answer: Answer, asked: Generate, is_first: bool) -> Json | None:
    begun: Json = {"role": "assistant", "content": ""} if is_first else {}
    match event:
        case Text(text=text) if text:
            return {"delta": {**begun, "content": text}}
        case CallPiece():
            begun = {**begun, "content": None} if begun else {}
            return {"delta": {**begun, "tool_calls": [call_delta(event, answer)]}}
        case Finished():
            cited = annotations(answer, asked.documents)
            return {"delta": {**begun, **({"annotations": cited} if cited else {})}}
    return None


def _older_choice(answer: Answer, asked: Generate) -> Json:
    return in_older_form(_choice(answer, asked), answer)


def _older_delta(event: Event, answer: Answer, asked: Generate, is_first: bool) -> Json | None:
    found = _delta(event, answer, asked, is_first)
    return found and in_older_form(found, answer)


_FORM = Form("chatcmpl", "chat.completion", "chat.completion.chunk", _choice, _delta)
_OLDER_FORM = replace(_FORM, choice=_older_choice, delta=_older_delta)


def annotations(answer: Answer, documents: Sequence[Document]) -> list[Json]:
    """The citations in OpenAI's form for web pages: the document's id is in place of the URL."""
    return [
        {
            "type": "url_citation",
            "url_citation": {
                "start_index": cited.statement_span.start,
                "end_index": cited.statement_span.end,
                "title": documents[cited.document].title,
                "url": document_id(documents[cited.document], cited.document),
                "document": cited.document,
                "quote": cited.quote,
            },
        }
        for cited in citations(answer, documents)
        if cited.statement_span is not None
    ]
