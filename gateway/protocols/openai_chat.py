"""OpenAI's `/v1/chat/completions`.

With `documents` (Cohere's field, and vLLM's) model `rag` answers from them, and the answer's
citations come back as annotations.
"""

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from gateway.call import Call, CallPiece, Event, Finished, Generate, Message, Usage
from gateway.errors import BadRequest
from gateway.protocols.answer import Answer, citations
from gateway.protocols.documents import DocumentItem, document_id, read_documents
from gateway.protocols.exchange import (
    Complete,
    Streaming,
    choice_calls,
    document,
    json_body,
    new_call,
    service,
)
from gateway.protocols.guides import one_guide, openai_format, vllm_guide
from gateway.protocols.openai_errors import OPENAI
from gateway.protocols.openai_sampling import (
    Json,
    SamplingRequest,
    check_choices,
    finish_reason,
    refuse_but,
    refuse_sampling,
    sampling,
    total,
    usage,
)
from gateway.protocols.openai_tools import call_delta, calls, tool_use
from gateway.protocols.reading import (
    Body,
    Content,
    Each,
    read,
    refuse_given,
    refuse_tools,
    text_of,
)
from gateway.protocols.several import merged
from gateway.protocols.sse import DONE, sse
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
    """Hints about caching, billing, safety and how much to think change nothing here."""

    messages: Each[ChatMessage] = Field(min_length=1)
    documents: Each[DocumentItem] | None = None
    response_format: dict[str, Any] | None = None
    # refused where they ask for something
    audio: Any = None
    function_call: Any = None
    functions: list[Any] | None = None
    modalities: Each[str] | None = None
    moderation: Any = None
    prediction: Any = None
    store: bool | None = None
    top_logprobs: int | None = None
    web_search_options: Any = None
    # functions
    parallel_tool_calls: bool | None = None
    tool_choice: Any = None
    tools: Each[FunctionTool] | None = None
    # without an effect
    metadata: dict[str, str] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: Any = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None


_OLD_TOOLS = ("function_call", "functions")
_TEXT_ALONE = ("audio", "logprobs", "moderation", "top_logprobs")
_NOTHING_ELSE = ("prediction", "web_search_options")
_ROLES = {"developer": "system"}


def parse(body: Any) -> ChatRequest:
    """Raises `BadRequest`."""
    request = read(ChatRequest, body)
    refuse_tools(request, _OLD_TOOLS, request.function_call)
    refuse_given(request, _TEXT_ALONE, "the answer is text alone")
    refuse_given(request, _NOTHING_ELSE, "this model can't")
    refuse_sampling(request)
    refuse_given(request, ("store",), "nothing is stored")
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
        raise BadRequest(f"{field}: missing; a text is needed", field=field)
    role = _ROLES.get(message.role, message.role)
    text = text_of(message.content, f"{field}.content")
    return Message(role, text, calls, (message.tool_call_id or "") if role == "tool" else "")


@router.post("/v1/chat/completions", openapi_extra=document(ChatRequest))
async def chat_completions(request: Request) -> Response:
    """Answer the last message of a chat."""
    asked = parse(json_body(request))
    wanted = generate(asked)
    call = new_call(request, wanted)
    choices = [replace(wanted, sampling=sampling(asked, i)) for i in range(check_choices(asked))]
    answers = [service(request).handler(each) for each in choice_calls(call, choices)]
    if asked.stream:
        return Streaming(call, _chunks(asked, call, answers), OPENAI)
    return Complete(call, _completion(asked, call, answers))


Answers = Sequence[AsyncGenerator[Event, None]]


async def _completion(request: ChatRequest, call: Call, answers: Answers) -> Json:
    found = [Answer() for _ in answers]
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            found[index].add(event)
    return {
        **_head(request, call, "chat.completion"),
        "choices": [_choice(index, answer, call) for index, answer in enumerate(found)],
        "usage": usage(total([answer.usage for answer in found])),
    }


def _choice(index: int, answer: Answer, call: Call) -> Json:
    message = {
        "role": "assistant",
        "content": answer.text if answer.text or not answer.calls else None,
        "refusal": None,
        "annotations": annotations(answer, call),
        **({"tool_calls": calls(answer)} if answer.calls else {}),
    }
    reason = finish_reason(answer.end)
    return {"index": index, "message": message, "logprobs": None, "finish_reason": reason}


async def _chunks(
    request: ChatRequest, call: Call, answers: Answers
) -> AsyncGenerator[bytes, None]:
    head = _head(request, call, "chat.completion.chunk")
    found = [Answer() for _ in answers]
    begun = {"role": "assistant", "content": ""}
    usages: list[Usage] = []
    async with aclosing(merged(answers)) as events:
        async for index, event in events:
            answer = found[index]
            delta: Json = {} if answer.parts else begun
            if text := answer.add(event):
                yield _chunk(head, index, {**delta, "content": text})
            elif isinstance(event, CallPiece):
                delta = {**delta, "content": None} if delta else {}
                yield _chunk(head, index, {**delta, "tool_calls": [call_delta(event, answer)]})
            elif isinstance(event, Finished):
                if cited := annotations(answer, call):
                    delta = {**delta, "annotations": cited}
                yield _chunk(head, index, delta, finish_reason(event))
                usages.append(event.usage)
    if request.wants_usage:
        yield sse({**head, "choices": [], "usage": usage(total(usages))})
    yield DONE


def _chunk(head: Json, index: int, delta: Json, reason: str | None = None) -> bytes:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return sse({**head, "choices": [choice]})


def _head(request: ChatRequest, call: Call, kind: str) -> Json:
    return {
        "id": f"chatcmpl-{call.request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": request.model,
    }


def annotations(answer: Answer, call: Call) -> list[Json]:
    """The citations, in OpenAI's form for the web: the document's id stands for the URL."""
    assert isinstance(call.request, Generate)
    documents = call.request.documents
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
