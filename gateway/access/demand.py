"""What a request may cost in tokens, before the model has counted them."""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from gateway.call import Embed, Generate, Other, Rank, Request, Search

MESSAGE_TOKENS = 16
"""Most tokens that a chat template puts around one message, and around a prompt."""

CALL_TOKENS = 64
"""Most tokens that a chat template puts around one call."""

TOOLS_TOKENS = 4096
"""Most tokens that a chat template writes about tools, in addition to their definitions."""

MAX_TOKEN_BYTES = 128
"""A text of n bytes has at least n / MAX_TOKEN_BYTES tokens: the models take a token to have at
most 32 characters on average (they refuse longer texts), of up to 4 bytes each."""


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Values for requests that don't give them."""

    context_tokens: int = 8192
    """Most tokens that a model reads at once."""
    default_max_tokens: int = 1024
    """Tokens of an answer whose request has no `max_tokens`."""


@dataclass(frozen=True, slots=True)
class Demand:
    """Bounds of the tokens of one request."""

    input_tokens: int
    """Upper bound of the input's tokens."""
    output_tokens: int = 0
    least_tokens: int = 1
    """Lower bound of all tokens, if the answer is as long as it may be."""

    @property
    def tokens(self) -> int:
        return self.input_tokens + self.output_tokens


def demand(request: Request, assumed: Assumptions) -> Demand:
    """Bounds by bytes: no token of a text has less than one byte of UTF-8."""
    match request:
        case Generate():
            most = assumed.context_tokens
            if request.collection is None:  # with one, its sources are not known yet
                most = min(_prompt_bytes(request), most)
            asked = request.sampling.max_tokens
            least = least_input_tokens(request) + (asked or 1)
            return Demand(most, asked or assumed.default_max_tokens, least)
        case Embed():
            rows = [*map(_text_bound, request.texts), *map(len, request.token_ids)]
        case Rank():
            query = _text_bound(request.query)
            rows = [query + _text_bound(passage) for passage in request.passages]
        case Search():
            rows = [_text_bound(request.query)]
        case Other():
            rows = []
    return Demand(sum(min(row, assumed.context_tokens) for row in rows), least_tokens=len(rows))


def least_input_tokens(request: Generate) -> int:
    """A lower bound of the prompt's tokens; 0 with sources: the prompt may have only some."""
    return (
        0 if request.documents or request.collection else _bytes(_texts(request)) // MAX_TOKEN_BYTES
    )


def _prompt_bytes(request: Generate) -> int:
    parts = 1 + len(request.messages) + len(request.documents)
    called = sum(
        _json_bytes(call.arguments) + _bytes([call.id, call.name]) + CALL_TOKENS
        for message in request.messages
        for call in message.tool_calls
    )
    tools = request.tool_use.tools
    told = sum(
        _json_bytes(tool.parameters) + _bytes([tool.name, tool.description]) + MESSAGE_TOKENS
        for tool in tools
    )
    about = TOOLS_TOKENS if tools else 0
    return _bytes(_texts(request)) + parts * MESSAGE_TOKENS + called + told + about


def _json_bytes(text: str) -> int:
    """Bytes of JSON as Llama's template writes it: indented, and with escaped quotes."""
    return _bytes([json.dumps(json.loads(text, strict=False), indent=4, ensure_ascii=False)])


def _texts(request: Generate) -> Iterable[str]:
    yield request.prompt
    yield from (message.content for message in request.messages)
    for document in request.documents:
        yield document.title
        yield document.text


def _text_bound(text: str) -> int:
    return _bytes([text]) + MESSAGE_TOKENS


def _bytes(texts: Iterable[str]) -> int:
    """Bytes of the texts in UTF-8; ASCII texts, the usual case, are not encoded to count them."""
    return sum(len(text) if text.isascii() else len(text.encode()) for text in texts)
