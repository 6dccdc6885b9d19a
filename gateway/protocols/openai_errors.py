"""Errors in OpenAI's form: `{"error": {"message", "type", "param", "code"}}`."""

from typing import Any

from gateway.errors import ContextExceeded, GatewayError, NotFound, as_written
from gateway.protocols.response import Protocol, sse

_TYPES = {
    400: ("invalid_request_error", None),
    401: ("authentication_error", "invalid_api_key"),
    403: ("permission_error", "permission_denied"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    503: ("server_error", "overloaded"),
    504: ("server_error", "timeout"),
}

_OTHER = {True: ("invalid_request_error", None), False: ("server_error", None)}

FIELDS = {"stop_words": "stop", "text_input": "prompt", "input_text": "input", "input_ids": "input"}
"""OpenAI's names of the models' tensors that have another name there."""


def error_body(error: GatewayError) -> Any:
    kind, code = _TYPES.get(error.status, _OTHER[error.status < 500])
    message, field = as_written(error, FIELDS)
    if isinstance(error, NotFound) and error.field in ("", "model"):
        code = "model_not_found"
    if isinstance(error, ContextExceeded):
        code = "context_length_exceeded"
    return {"error": {"message": message, "type": kind, "param": field or None, "code": code}}


OPENAI = Protocol(error_body, lambda error: sse(error_body(error)))
