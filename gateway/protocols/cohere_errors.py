"""Errors in Cohere's form: `{"message"}`."""

from typing import Any

from gateway.errors import GatewayError, as_written
from gateway.protocols.response import DONE, Protocol, typed_sse

FIELDS = {
    "input_text": "texts",
    "passages": "documents",
    "stop_words": "stop_sequences",
    "top_k": "k",
    "top_p": "p",
}


def error_body(error: GatewayError) -> Any:
    message, _ = as_written(error, FIELDS)
    return {"message": message}


def error_event(error: GatewayError) -> bytes:
    """The last event of a stream that fails."""
    delta = {"finish_reason": "ERROR", "error": error_body(error)["message"]}
    return typed_sse({"type": "message-end", "delta": delta})


COHERE = Protocol(error_body, error_event, typed_sse, DONE)
