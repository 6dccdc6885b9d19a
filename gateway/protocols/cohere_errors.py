"""Errors as Cohere words them: `{"message"}`."""

from typing import Any

from gateway.errors import GatewayError
from gateway.protocols.exchange import Protocol
from gateway.protocols.sse import named_sse


def error_body(error: GatewayError) -> Any:
    return {"message": str(error)}


def error_event(error: GatewayError) -> bytes:
    """The last event of a stream that breaks."""
    delta = {"finish_reason": "ERROR", "error": str(error)}
    return named_sse("message-end", {"type": "message-end", "delta": delta})


COHERE = Protocol(error_body, error_event)
