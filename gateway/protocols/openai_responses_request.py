"""Requests of OpenAI's `/v1/responses`: what is taken, and what is refused by name."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from gateway.call import Generate, Message, Sampling, SearchedCollection
from gateway.errors import BadRequest
from gateway.protocols.documents import DocumentItem, read_documents
from gateway.protocols.guides import openai_format
from gateway.protocols.openai_file_search import RESULTS
from gateway.protocols.openai_responses_tools import functions
from gateway.protocols.openai_responses_tools import searches as searching
from gateway.protocols.reading import Body, Content, Each, StrictBody, calls_nothing, text_of
from gateway.protocols.tools import check_results, new_call

PARTS = ("input_text", "output_text", "text")
_WITHOUT_TEXT = ("file_search_call", "reasoning")
"""Items of earlier answers that the model does not read: the message has their result."""


class Item(Body):
    """A message, or another item of an earlier answer's `output`, which is sent back unchanged."""

    type: str = "message"
    role: Literal["user", "assistant", "system", "developer"] | None = None
    content: Content | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None
    output: Content | None = None


class ResponsesRequest(StrictBody):
    """`include` may name parts of outputs that no answer here has."""

    ignored = (
        *("access_programs", "background_options", "client_metadata", "image", "max_tool_calls"),
        *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning"),
        *("safety_identifier", "service_tier", "stream_options"),
    )
    refused = (
        (
            "nothing is stored; send the whole input each time",
            ("background", "conversation", "previous_response_id", "prompt", "store"),
        ),
        ("the answer is text alone", ("context_management", "moderation", "top_logprobs")),
    )

    model: str
    input: str | Each[Item]
    instructions: str | None = None
    documents: Each[DocumentItem] | None = None
    stream: bool | None = False
    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, ge=0, le=1)
    metadata: dict[str, str] | None = None
    text: dict[str, Any] | None = None
    tools: list[Any] | None = None
    include: Each[str] | None = None
    parallel_tool_calls: bool | None = None
    tool_choice: Any = None
    truncation: str | None = None
    user: str | None = None

    @property
    def searches(self) -> list[Any]:
        """The tools that search, or none if no tool may be called; raises `BadRequest`."""
        return [] if calls_nothing(self.tool_choice) else searching(self.tools or [])


_LOGPROBS = "message.output_text.logprobs"


def _refuse(request: ResponsesRequest) -> None:
    if _LOGPROBS in (request.include or ()):
        raise BadRequest.at("include", f"{_LOGPROBS} is not offered; {RESULTS} is")
    if request.truncation == "auto":
        raise BadRequest.at("truncation", "auto is not offered; disabled is")


def generate(request: ResponsesRequest, collection: SearchedCollection | None = None) -> Generate:
    """Raises `BadRequest`."""
    _refuse(request)
    sampling = Sampling(
        max_tokens=request.max_output_tokens, temperature=request.temperature, top_p=request.top_p
    )
    return Generate(
        model=request.model,
        messages=tuple(messages(request)),
        sampling=sampling,
        documents=read_documents(request.documents),
        collection=collection,
        tool_use=functions(request.tools or [], request.tool_choice, request.parallel_tool_calls),
        guide=openai_format((request.text or {}).get("format"), "text.format"),
        stream=bool(request.stream),
    )


def messages(request: ResponsesRequest) -> Iterator[Message]:
    """The turns of the chat; raises `BadRequest`.

    Calls that follow each other or the assistant's text are part of one turn, as in chat.
    """
    found, fields = list[Message](), list[str]()
    for message, field in _turns(request):
        last = found[-1] if found else message
        if message.tool_calls and last.role == "assistant":
            found[-1] = replace(last, tool_calls=(*last.tool_calls, *message.tool_calls))
        else:
            found.append(message)
            fields.append(field)
    check_results(found, fields)
    yield from found


def _turns(request: ResponsesRequest) -> Iterator[tuple[Message, str]]:
    """Each item as a message, with the field of its call's id."""
    if request.instructions:
        yield Message("system", request.instructions), ""
    if isinstance(request.input, str):
        yield Message("user", request.input), ""
        return
    if all(item.type in _WITHOUT_TEXT for item in request.input):
        raise BadRequest.at("input", "empty; a text or a list of messages is needed")
    for index, item in enumerate(request.input):
        if item.type not in _WITHOUT_TEXT:
            yield _message(f"input.{index}", item), f"input.{index}.call_id"


def _message(field: str, item: Item) -> Message:
    if item.type == "function_call" and item.call_id and item.name:
        call = new_call(f"{field}.arguments", item.call_id, item.name, item.arguments)
        return Message("assistant", "", (call,))
    if item.type == "function_call_output" and item.call_id and item.output is not None:
        text = text_of(item.output, f"{field}.output", PARTS)
        return Message("tool", text, tool_call_id=item.call_id)
    if item.type == "item_reference":
        raise BadRequest.at(
            field,
            "'item_reference' given, but nothing is stored; send the item itself, as clients "
            'do that are set to "store": false',
        )
    if item.type != "message" or item.role is None or item.content is None:
        raise BadRequest.at(
            field,
            "messages with role and content are possible, and functions' calls and "
            "outputs with call_id; nothing is stored",
        )
    role = "system" if item.role == "developer" else item.role
    types = (*PARTS, "refusal") if role == "assistant" else PARTS
    return Message(role, text_of(item.content, f"{field}.content", types, role))
