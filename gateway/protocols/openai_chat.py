"""OpenAI's `/v1/chat/completions`.

With `documents` (Cohere's field, and vLLM's) model `rag` answers from them, and the answer's
citations come back as annotations.
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
from gateway.protocols.exchange import document, json_body
from gateway.protocols.guides import one_guide, openai_format, vllm_guide
from gateway.protocols.openai_choices import Form, choices
from gateway.protocols.openai_sampling import (
    SamplingRequest,
    check_choices,
    refuse_but,
    refuse_sampling,
    sampling,
)
from gateway.protocols.openai_tools import call_delta, calls, tool_use
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
from gateway.protocols.tools import (
    FunctionCall,
    FunctionTool,
    check_results,
    read_calls,
    read_tools,
)

router = APIRouter(tags=["OpenAI"])


class ChatMessage(Body):
    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Content | None = None
    tool_calls: Each[FunctionCall] | None = None
    tool_call_id: str | None = None


class ChatRequest(SamplingRequest):
    ignored = (
        *SamplingRequest.ignored,
        *("metadata", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention"),
        *("reasoning_effort", "safety_identifier", "service_tier", "verbosity"),
        *("include_reasoning", "reasoning", "reasoning_format"),  # OpenRouter's and Groq's
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
    functions: list[Any] | None = None
    modalities: Each[str] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: Any = None
    tools: Each[FunctionTool] | None = None


_ROLES = {"developer": "system"}


def parse(body: Any) -> ChatRequest:
    """Raises `BadRequest`."""
    request = read(ChatRequest, body)
    if not calls_nothing(request.function_call):
        for name in ("function_call", "functions"):
            refuse(name, getattr(request, name), "functions are offered as tools")
    refuse_sampling(request)
    refuse_but(request, "modalities", ["text"])
    check_choices(request)
    return request


def generate(request: ChatRequest) -> Generate:
    """Raises `BadRequest`."""
    messages = tuple(_message(i, each) for i, each in enumerate(request.messages))
    check_results(messages, [f"messages.{i}.tool_call_id" for i in range(len(messages))])
    return Generate(
        model=request.model,
        messages=messages,
        sampling=sampling(request),
        documents=read_documents(request.documents),
        tool_use=tool_use(
            read_tools(request.tools), request.tool_choice, request.parallel_tool_calls
        ),
        guide=one_guide(
            openai_format(request.response_format, "response_format"), vllm_guide(request)
        ),
        stream=bool(request.stream),
    )


def _message(index: int, message: ChatMessage) -> Message:
    field = f"messages.{index}"
    calls = read_calls(message.tool_calls, f"{field}.tool_calls")
    if message.content is None and message.role == "assistant":
        return Message("assistant", "", calls)  # it called, or said nothing, as when cancelled
    if message.content is None:
        field = f"{field}.content"
        raise BadRequest.at(field, "missing; a text is needed")
    role = _ROLES.get(message.role, message.role)
    types = ("text", "refusal") if role == "assistant" else ("text",)
    text = text_of(message.content, f"{field}.content", types, role)
    return Message(role, text, calls, (message.tool_call_id or "") if role == "tool" else "")


@router.post("/v1/chat/completions", openapi_extra=document(ChatRequest))
async def chat_completions(request: Request) -> Response:
    """Answer the last message of a chat."""
    asked = parse(json_body(request))
    first = generate(asked)
    wanted = [replace(first, sampling=sampling(asked, i)) for i in range(check_choices(asked))]
    return choices(request, asked, wanted, _FORM)


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


_FORM = Form("chatcmpl", "chat.completion", "chat.completion.chunk", _choice, _delta)


def annotations(answer: Answer, documents: Sequence[Document]) -> list[Json]:
    """The citations, in OpenAI's form for the web: the document's id stands for the URL."""
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
