"""Errors in Anthropic's form: `{"type": "error", "error": {"type", "message"}}`."""

from typing import Any, ClassVar

from gateway.errors import BadRequest, ContextExceeded, GatewayError, as_written
from gateway.protocols.response import Protocol, typed_sse

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}
FIELDS = {"stop_words": "stop_sequences"}


class NoThreads(BadRequest):
    """The request asks the server to keep a conversation. Anthropic's tool runner first asks for
    that, and continues without it if the error's details say so."""

    details: ClassVar[dict[str, Any]] = {
        "error_code": "thread_unsupported_request",
        "unsupported": ["thread"],
    }


def error_body(error: GatewayError) -> Any:
    """An error response; the same object is the `error` event of a stream."""
    other = "api_error" if error.status >= 500 else "invalid_request_error"
    kind = ERROR_TYPES.get(error.status, other)
    message, _ = as_written(error, FIELDS)
    if isinstance(error, ContextExceeded):
        message = _context_exceeded(error)
    details = {"details": error.details} if isinstance(error, NoThreads) else {}
    return {"type": "error", "error": {"type": kind, "message": message, **details}}


def _context_exceeded(error: ContextExceeded) -> str:
    """Anthropic's sentence: Claude Code reads its numbers, and then asks for less."""
    if error.max_tokens:
        return (
            f"input length and `max_tokens` exceed context limit: {error.prompt_tokens} + "
            f"{error.max_tokens} > {error.context_tokens}, decrease input length or `max_tokens` "
            "and try again"
        )
    if error.prompt_tokens:
        limit = error.context_tokens - 1  # an answer has at least one token
        return f"prompt is too long: {error.prompt_tokens} tokens > {limit} maximum"
    return f"prompt is too long: {error}"


ANTHROPIC = Protocol(error_body, lambda error: typed_sse(error_body(error)), typed_sse)
