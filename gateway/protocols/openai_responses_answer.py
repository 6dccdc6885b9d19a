"""Answers of OpenAI's `/v1/responses`: a message for each text, an item for each call."""

import time

from gateway.call import Usage
from gateway.protocols.answer import Answer, citations
from gateway.protocols.documents import document_id, read_documents
from gateway.protocols.openai_file_search import RESULTS, annotations, call_item
from gateway.protocols.openai_responses_request import ResponsesRequest, messages
from gateway.protocols.openai_responses_tools import function_call, shown_tools
from gateway.protocols.reading import Json
from gateway.tool_use import ToolCall


def response(request: ResponsesRequest, request_id: str, answer: Answer) -> Json:
    """A whole `Response`."""
    is_cut = answer.stop_reason == "length"
    status = "incomplete" if is_cut else "completed"
    return {
        **begun_response(request, request_id, status),
        "completed_at": int(time.time()),
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "output": [
            *searches(request, request_id, answer),
            *items(request, request_id, answer, status),
        ],
        "usage": _usage(answer.usage),
    }


def begun_response(request: ResponsesRequest, request_id: str, status: str) -> Json:
    return {
        "id": f"resp_{request_id}",
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": status,
        "background": False,
        "error": None,
        "frequency_penalty": 0,  # Open Responses, and so OpenRouter's clients, have both penalties
        "incomplete_details": None,
        "instructions": request.instructions,
        "max_output_tokens": request.max_output_tokens,
        "metadata": request.metadata or {},
        "model": request.model,
        "output": [],
        "parallel_tool_calls": request.parallel_tool_calls is not False,
        "presence_penalty": 0,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "store": False,
        "temperature": request.temperature,
        "text": {"format": (request.text or {}).get("format") or {"type": "text"}},
        "tool_choice": request.tool_choice or "auto",
        "tools": shown_tools(request.tools or []),
        "top_p": request.top_p,
        "truncation": "disabled",
        "usage": None,
        "user": request.user,
    }


def items(request: ResponsesRequest, request_id: str, answer: Answer, status: str) -> list[Json]:
    """A message for each text, an item for each call; an empty answer is a message without text."""
    parts = answer.parts or [""]
    return [item(request, request_id, answer, i, status) for i in range(len(parts))]


def item(
    request: ResponsesRequest, request_id: str, answer: Answer, index: int, status: str
) -> Json:
    part = answer.parts[index] if answer.parts else ""
    if isinstance(part, ToolCall):
        return function_call(part, status)
    return message_item(request_id, index, status, [_part(request, answer, part)])


def message_item(request_id: str, index: int, status: str, content: list[Json]) -> Json:
    return {
        "id": message_id(request_id, index),
        "type": "message",
        "role": "assistant",
        "status": status,
        "content": content,
    }


def message_id(request_id: str, index: int) -> str:
    return f"msg_{request_id}-{index}" if index else f"msg_{request_id}"


def searches(request: ResponsesRequest, request_id: str, answer: Answer) -> list[Json]:
    """The output items before the message: the search of a vector store, if there was one."""
    if not request.searches:
        return []
    has_results = RESULTS in (request.include or ())
    return [call_item(request_id, _question(request), answer, has_results)]


def _question(request: ResponsesRequest) -> str:
    *_, last = messages(request)
    return last.content


def _part(request: ResponsesRequest, answer: Answer, text: str) -> Json:
    """A text of the answer, with its annotations: an answer with annotations has one text."""
    if request.searches:
        return text_part(text, list(annotations(answer)))
    return text_part(text, _annotations(request, answer) if request.documents else [])


def text_part(text: str, annotations: list[Json]) -> Json:
    return {"type": "output_text", "text": text, "annotations": annotations, "logprobs": []}


def _annotations(request: ResponsesRequest, answer: Answer) -> list[Json]:
    """A file citation (a file is a document here) for each sentence that a document supports."""
    documents = read_documents(request.documents)
    return [
        {
            "type": "file_citation",
            "file_id": document_id(documents[found.document], found.document),
            "filename": documents[found.document].title,
            "index": found.statement_span.end if found.statement_span else len(answer.text),
        }
        for found in citations(answer, documents)
    ]


def _usage(usage: Usage) -> Json:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }
