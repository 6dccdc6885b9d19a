"""Statuses and messages of gRPC, Triton and our models, as the errors that callers see."""

import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from triton_rag.errors import (
    Cancelled,
    InvalidRequest,
    NothingFound,
    Overloaded,
    ServerFailed,
    ServerUnreachable,
    TimedOut,
    TritonRagError,
)

NOT_READY = (ServerUnreachable, TimedOut, Overloaded)
"""The errors of `is_ready` while a server starts or stops."""

_KINDS: dict[grpc.StatusCode, type[TritonRagError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequest,
    grpc.StatusCode.NOT_FOUND: InvalidRequest,
    grpc.StatusCode.OUT_OF_RANGE: InvalidRequest,
    grpc.StatusCode.UNAVAILABLE: Overloaded,
    grpc.StatusCode.DEADLINE_EXCEEDED: TimedOut,
    grpc.StatusCode.CANCELLED: Cancelled,
}

_BROKEN_CONNECTION = (
    *("failed to connect", "connection refused", "connection reset", "socket closed"),
    *("endpoint closing", "goaway", "dns resolution failed", "errors resolving"),
    *("no route to host", "handshake", "broken pipe"),
    "received http2 header with status",  # an error page of a proxy
)
"""gRPC's own messages with UNAVAILABLE, the code that Triton uses for "no room"."""

_SERVER_DEADLINE = "timeout:"
"""How the server's CANCELLED begins when the request's own timeout ended it."""

_CLOSED_HERE = "Locally cancelled by application!"
"""gRPC's message for a blocking call that this process cancelled."""

ERRORS_IN_BAND = "errors_in_band"
"""Request parameter that makes our models put the error's code before its text.

A stream has no status of its own in Triton, unless the header `triton_grpc_error` asks for one;
but that header makes tritonserver 2.51 crash (SIGSEGV) when several streams fail at a time.
"""

_NOTHING_FITS = "no passage fits: "
"""A part of the message of a search that finds nothing; an ensemble puts its name before it."""

_CODES = {
    "INVALID_ARG": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "UNAVAILABLE": grpc.StatusCode.UNAVAILABLE,
    "CANCELLED": grpc.StatusCode.CANCELLED,
    "INTERNAL": grpc.StatusCode.INTERNAL,
}

_ENSEMBLE = re.compile(r"^in ensemble '[^']*', ")
"""Triton puts this before the message of an ensemble's step; callers don't know the steps."""

_CODED = re.compile(rf"(?P<code>{'|'.join(_CODES)}): (?P<text>.*)", re.S)

_DIED = "is not healthy"
"""A part of Triton's message when a model's process has died; the supervisor starts another."""

_NO_ROOM = ("Exceeds maximum queue size", "Request timeout expired", "no available versions")
"""Triton's own messages on a stream when it can't accept the request now."""


def from_status(code: grpc.StatusCode, details: str, address: str) -> TritonRagError:
    """The error for a gRPC status of the server at `address`."""
    details = _ENSEMBLE.sub("", details)
    if code is grpc.StatusCode.UNAVAILABLE and _is_broken_connection(details):
        return ServerUnreachable(
            f"no connection to a Triton server at {address} ({details}); start one with "
            "'make serve', or give the address of its gRPC port"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return TimedOut(f"no complete answer from {address} within the time allowed (timeout_s)")
    if code is grpc.StatusCode.CANCELLED and details.startswith(_SERVER_DEADLINE):
        return TimedOut(details)
    if details == _CLOSED_HERE:
        return Cancelled("the stream was closed")
    if code is grpc.StatusCode.NOT_FOUND and _NOTHING_FITS in details:
        return NothingFound(details)
    kind = Overloaded if _DIED in details else _KINDS.get(code, ServerFailed)
    return kind(details or f"{address} answered {code.name}")


def from_stream(message: str) -> TritonRagError:
    """The error for the message of a stream, which has no status.

    Our models begin it with a code, because `ERRORS_IN_BAND` asks them to; Triton does not.
    """
    code, text = grpc.StatusCode.INVALID_ARGUMENT, message
    if found := _CODED.fullmatch(_ENSEMBLE.sub("", message)):
        code, text = _CODES[found["code"]], found["text"]
    elif any(words in message for words in _NO_ROOM):
        code = grpc.StatusCode.UNAVAILABLE
    return from_status(code, text, "the server")


def _is_broken_connection(details: str) -> bool:
    return any(words in details.lower() for words in _BROKEN_CONNECTION)


@contextmanager
def checked_answer(address: str) -> Iterator[None]:
    """Turns errors of reading an answer, which none of our models gives, into `ServerFailed`."""
    try:
        yield
    except (ArithmeticError, LookupError, TypeError, ValueError, struct.error) as error:
        raise ServerFailed(
            f"the answer of {address} can't be read ({type(error).__name__}): does it serve these"
            " models, in this client's version?"
        ) from error


@contextmanager
def translated_errors(address: str) -> Iterator[None]:
    """Turns a gRPC error inside into a `TritonRagError`."""
    try:
        yield
    except grpc.RpcError as error:
        raise from_status(error.code(), error.details() or "", address) from error
