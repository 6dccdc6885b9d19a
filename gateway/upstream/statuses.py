"""Turns errors of Triton 2.51 and of our models into errors with the right HTTP status.

Triton answers 400 for every error of a model on `/generate`, and a stream has no status. So the
parameter `errors_in_band` asks our models to put the error's code before its text.
"""

import re

from ensembles.contracts import OVERLOADED
from gateway.errors import (
    BadRequest,
    ContextExceeded,
    DeadlinePassed,
    GatewayError,
    NotFound,
    Unavailable,
    UpstreamFailed,
)

IN_BAND = "errors_in_band"
RETRY_AFTER_S = 1.0
"""When to try again after a full queue, which has room again within a second."""

_CODED = re.compile(
    r"(?:in ensemble '[^']*', )?"
    r"(?P<code>INVALID_ARG|NOT_FOUND|UNAVAILABLE|CANCELLED|INTERNAL): (?P<text>.*)",
    re.DOTALL,
)
_FIELD = re.compile(r"([a-z_]+)(?:\[\d+\])?(?:, [a-z_]+)*: ")
_CONTEXT = re.compile(
    r"(?:prompt: (?P<prompt>\d+) tokens given; "
    r"|max_tokens: (?P<asked>[1-9]\d*) given; from 1 to \d+ fit behind this prompt of "
    r"(?P<before>\d+) tokens, as )the maximum context length is (?P<context>\d+) tokens"
    r"|(?:messages|text_input): [\d,]+ characters; at most [\d,]+ are possible where "
    r"(?P<most>[\d,]+) tokens are"
)
_NO_ROOM = (OVERLOADED, "Exceeds maximum queue size", "Request timeout expired")
_AWAY = ("no available versions", "is not ready", "is not healthy")
_OF_CLIENTS = (
    "Unable to parse",
    "Unable to set",
    "HTTP end point doesn't support models with decoupled",
)
"""Beginnings of Triton's messages, with status 500, on requests that it can't read or serve."""


def from_stream(message: str) -> GatewayError:
    """The error for the text of a model's last response, or of Triton's on a stream."""
    found = _CODED.fullmatch(message)
    if found is None:
        return from_status(400, message)
    text = found["text"]
    match found["code"]:
        case "INVALID_ARG":
            return _bad_request(text)
        case "NOT_FOUND":
            return NotFound(text)
        case "UNAVAILABLE":
            return Unavailable(text, retry_after_s=RETRY_AFTER_S)
        case "CANCELLED":
            return DeadlinePassed(text)
    return UpstreamFailed(text)


def from_status(status: int, message: str) -> GatewayError:
    """The error for an HTTP response of Triton other than 200."""
    text = re.sub(r"^in ensemble '[^']*', ", "", message)
    if status == 503 or any(words in text for words in _NO_ROOM):
        return Unavailable(text or "the model is overloaded", retry_after_s=RETRY_AFTER_S)
    if any(words in text for words in _AWAY):
        return Unavailable(text, retry_after_s=RETRY_AFTER_S)
    if status == 404 or "Request for unknown model" in text:
        return NotFound(text or "the models' server has no such path")
    if status == 400 or text.startswith(_OF_CLIENTS):
        return _bad_request(text)
    return UpstreamFailed(text or f"the model's server answered {status}")


def _bad_request(text: str) -> BadRequest:
    """The error with its field: our models' messages begin with it, as in `max_tokens: …`."""
    found = _FIELD.match(text)
    field = found[1] if found else ""
    if context := _CONTEXT.match(text):
        counts = {name: int((n or "0").replace(",", "")) for name, n in context.groupdict().items()}
        return ContextExceeded(
            text,
            field=field,
            prompt_tokens=counts["prompt"] or counts["before"],
            max_tokens=counts["asked"],
            context_tokens=counts["context"] or counts["most"],
        )
    return BadRequest(text, field=field)
