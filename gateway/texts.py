"""The texts of a request: to look at, and to change."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace

from gateway.call import Document, Embed, Generate, Message, Other, Rank, Request, Search
from gateway.errors import BadRequest

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
    for index, document in enumerate(request.documents):
        yield f"documents[{index}]", document.text
        if document.title:
            yield f"documents[{index}]", document.title


def refuse_token_ids(request: Request, what: str) -> None:
    """Raises `BadRequest` for token ids, which hide their text from what guards do with it."""
    if isinstance(request, Embed) and request.token_ids:
        message = f"this key's input is {what}, which token ids hide it from: send texts"
        raise BadRequest(message, field="input")


async def changed(request: Request, change: Change) -> Request:
    """The request with every one of its texts changed."""
    match request:
        case Generate():
            return replace(
                request,
                prompt=await change(request.prompt),
                messages=tuple([await _message(each, change) for each in request.messages]),
                documents=tuple([await _document(each, change) for each in request.documents]),
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


async def _message(message: Message, change: Change) -> Message:
    return replace(message, content=await change(message.content))


async def _document(document: Document, change: Change) -> Document:
    return replace(document, text=await change(document.text), title=await change(document.title))
