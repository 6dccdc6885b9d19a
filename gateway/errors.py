"""The gateway's errors, to which each protocol gives its own form.

GatewayError
├── BadRequest          400  the request can't be right; `field` names what the client wrote
│   └── ContextExceeded      more tokens than the model's context has
├── Unauthenticated     401  no key, or an unknown, expired or disabled one
├── Forbidden           403  the key may not use this model or route
├── NotFound            404  unknown model; the message lists what there is
├── TooLarge            413  more bytes, messages or nesting than the limits
├── Limited             429  a limit of the key is used up; `retry_after_s`
├── Broken              500  a fault of the gateway itself, described in its log
├── UpstreamFailed      502  the model failed
├── Unavailable         503  overloaded, or a model is not ready; `retry_after_s`
└── DeadlinePassed      504  the request's own deadline, or no token for too long

Messages say what was asked, what was found and what is possible. They never hold a prompt.
"""

from collections.abc import Mapping
from typing import Self


class GatewayError(Exception):
    """A refusal with its HTTP status."""

    status = 500

    def __init__(self, message: str, *, field: str = "", retry_after_s: float | None = None):
        super().__init__(message)
        self.field = field
        self.retry_after_s = retry_after_s
        self.headers: dict[str, str] = {}

    @classmethod
    def at(cls, field: str, message: str) -> Self:
        """The error about one field, which is named before the message."""
        return cls(f"{field}: {message}", field=field)


class BadRequest(GatewayError):
    status = 400


class ContextExceeded(BadRequest):
    """Prompt and answer don't fit the context: agents that know this error shorten their chat.

    `prompt_tokens` is 0 where the prompt was too long to be counted, `max_tokens` is 0 where the
    prompt alone is too long.
    """

    def __init__(
        self, message: str, *, field: str, prompt_tokens: int, max_tokens: int, context_tokens: int
    ):
        super().__init__(message, field=field)
        self.prompt_tokens = prompt_tokens
        self.max_tokens = max_tokens
        self.context_tokens = context_tokens


class Unauthenticated(GatewayError):
    status = 401


class Forbidden(GatewayError):
    status = 403


class NotFound(GatewayError):
    status = 404


class TooLarge(GatewayError):
    status = 413


class Limited(GatewayError):
    status = 429


class Broken(GatewayError):
    status = 500


class UpstreamFailed(GatewayError):
    status = 502


class Unavailable(GatewayError):
    status = 503


class DeadlinePassed(GatewayError):
    status = 504


def as_written(error: GatewayError, names: Mapping[str, str]) -> tuple[str, str]:
    """The error's message and field, with an API's name of the field from `names`."""
    message, field = str(error), error.field
    if field not in names:
        return message, field
    return message.replace(field, names[field], 1), names[field]
