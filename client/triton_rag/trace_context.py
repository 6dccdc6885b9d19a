"""The ids of a request: its own, and its place in a trace (W3C Trace Context)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from triton_rag.errors import TritonRagError
from triton_rag.wire import Message

try:
    from opentelemetry import trace as opentelemetry
except ImportError:  # an optional package: without it every call begins a trace of its own
    opentelemetry = None

TRACEPARENT = "traceparent"
"""Name of the header, and of the request parameter with the same value.

Triton's own tracing mode reads the header only, our models the parameter only.
"""

_FORM = re.compile(r"[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_SAMPLED = 1


@dataclass(frozen=True)
class RequestContext:
    """The id of a request, and the `traceparent` that it carries."""

    request_id: str
    traceparent: str

    @property
    def trace_id(self) -> str:
        return self.traceparent[3:35]

    def add_to(self, request: Message) -> Message:
        """The `ModelInferRequest`, with its id and its place in the trace."""
        request.id = self.request_id
        request.parameters[TRACEPARENT].string_param = self.traceparent
        return request

    @contextmanager
    def in_errors(self) -> Iterator[None]:
        """Adds the ids of the request to a `TritonRagError` that is raised inside."""
        try:
            yield
        except TritonRagError as error:
            error.request_id, error.trace_id = self.request_id, self.trace_id
            raise


def new_context(request_id: str | None = None, traceparent: str | None = None) -> RequestContext:
    """The context of a call that starts now.

    The trace is the one given, else that of the active OpenTelemetry span, else a new one.
    Raises ValueError for a malformed `traceparent`.
    """
    if traceparent is not None and not _FORM.fullmatch(traceparent):
        raise ValueError(
            f"traceparent: {traceparent!r:.70} given; "
            "00-<32 hexadecimal digits, not all 0>-<16, not all 0>-<2> is needed"
        )
    return RequestContext(request_id or secrets.token_hex(16), traceparent or _current())


def _current() -> str:
    if opentelemetry is not None:
        span = opentelemetry.get_current_span().get_span_context()
        if span.is_valid:
            return _traceparent(span.trace_id, span.span_id, span.trace_flags)
    return _traceparent(secrets.randbits(128) or 1, secrets.randbits(64) or 1, _SAMPLED)


def _traceparent(trace_id: int, span_id: int, flags: int) -> str:
    return f"00-{trace_id:032x}-{span_id:016x}-{flags:02x}"
