"""Reads and changes the texts of a request."""

import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any

from gateway.call import Document, Embed, Generate, Message, Other, Rank, Request, Search
from gateway.errors import BadRequest
from gateway.guide import Guide
from gateway.tool_use import Tool, ToolCall

Change = Callable[[str], Awaitable[str]]


def texts_of(request: Request) -> Iterator[tuple[str, str]]:
    """Every text that a client wrote, with the field that it is in."""
    match request:
        case Generate():
            yield from _generate_texts(request)
        case Embed(texts=texts):
            yield from ((f"input[{index}]", text) for index, text in enumerate(texts))
        case Rank(query=query, passages=passages):
            yield "query", query
            yield from ((f"documents[{index}]", text) for index, text in enumerate(passages))
        case Search(query=query):
            yield "query", query


def _generate_texts(request: Generate) -> Iterator[tuple[str, str]]:
    if request.prompt:
        yield "prompt", request.prompt
    for index, message in enumerate(request.messages):
        yield f"messages[{index}]", message.content
        for number, call in enumerate(message.tool_calls):
            yield f"messages[{index}].tool_calls[{number}]", call.arguments
    for index, document in enumerate(request.documents):
        yield f"documents[{index}]", document.text
        if document.title:
            yield f"documents[{index}]", document.title
    for index, tool in enumerate(request.tool_use.tools):
        yield f"tools[{index}]", tool.description
        yield f"tools[{index}]", tool.parameters
    if request.guide:
        yield request.guide.field, request.guide.text


def refuse_token_ids(request: Request, what: str) -> None:
    """Raises `BadRequest` for token ids, whose text guards can't read."""
    if isinstance(request, Embed) and request.token_ids:
        message = f"this key's input is {what}, which token ids hide it from: send texts"
        raise BadRequest(message, field="input")


async def changed(request: Request, change: Change) -> Request:
    """The request with every one of its texts changed.

    Raises `BadRequest` if a regular expression or a grammar would change: it would be broken.
    """
    match request:
        case Generate(tool_use=use):
            return replace(
                request,
                tool_use=replace(
                    use, tools=tuple([await _tool(each, change) for each in use.tools])
                ),
                prompt=await change(request.prompt),
                messages=tuple([await _message(each, change) for each in request.messages]),
                documents=tuple([await _document(each, change) for each in request.documents]),
                guide=request.guide and await _guide(request.guide, change),
            )
        case Embed():
            return replace(request, texts=tuple([await change(text) for text in request.texts]))
        case Rank():
            passages = tuple([await change(text) for text in request.passages])
            return replace(request, query=await change(request.query), passages=passages)
        case Search():
            return replace(request, query=await change(request.query))
        case Other():
            return request


async def changed_json(text: str, change: Change) -> str:
    """JSON with its texts and numbers changed, so that it stays JSON; keys stay as they are."""
    try:
        before = json.loads(text, strict=False)
    except (ValueError, RecursionError):  # a model wrote it
        return await change(text)
    after = await _value(before, change)
    return text if after == before else json.dumps(after, ensure_ascii=False)


async def _value(value: Any, change: Change) -> Any:
    match value:
        case str():
            return await change(value)
        case dict():
            return {key: await _value(inner, change) for key, inner in value.items()}
        case list():
            return [await _value(inner, change) for inner in value]
        case int() | float() if not isinstance(value, bool):
            written = str(value)
            shown = await change(written)
            return value if shown == written else shown
    return value


async def _message(message: Message, change: Change) -> Message:
    calls = [await _call(call, change) for call in message.tool_calls]
    return replace(message, content=await change(message.content), tool_calls=tuple(calls))


async def _call(call: ToolCall, change: Change) -> ToolCall:
    return replace(call, arguments=await changed_json(call.arguments, change))


async def _tool(tool: Tool, change: Change) -> Tool:
    parameters = await changed_json(tool.parameters, change)
    return replace(tool, description=await change(tool.description), parameters=parameters)


async def _guide(guide: Guide, change: Change) -> Guide:
    if guide.type == "json_schema":
        return replace(guide, text=await changed_json(guide.text, change))
    if await change(guide.text) != guide.text:
        message = f"this key's input is redacted, and a {guide.type} can't be: leave the data out"
        raise BadRequest.at(guide.field, message)
    return guide


async def _document(document: Document, change: Change) -> Document:
    return replace(document, text=await change(document.text), title=await change(document.title))
